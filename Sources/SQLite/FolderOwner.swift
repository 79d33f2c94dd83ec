import Glibc

/// What root makes in a data folder of somebody else's belongs to who owns the folder: a server that runs as that user could
/// not open it otherwise.
package enum FolderOwner {
    /// For an open file that is root's. Nothing happens for who is not root. One with several names is left: the folder's owner
    /// could have put a name of another file there.
    package static func give(_ descriptor: Int32, in directory: String) {
        guard geteuid() == 0 else { return }
        var folder = stat()
        var file = stat()
        guard stat(directory, &folder) == 0, fstat(descriptor, &file) == 0, file.st_mode & S_IFMT == S_IFREG,
            file.st_nlink == 1, file.st_uid == 0, folder.st_uid != 0
        else { return }
        // What fails shows when the other user opens it: the file is of use to root all the same.
        fchown(descriptor, folder.st_uid, folder.st_gid)
    }

    /// SQLite gives its log and its shared memory to the owner of the database.
    package static func give(_ path: String, in directory: String) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return }
        give(descriptor, in: directory)
        close(descriptor)
    }
}
