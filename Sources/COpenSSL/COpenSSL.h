// OpenSSL 3: TLS, AES-GCM, Ed25519, scrypt, HKDF. The inline functions stand for macros that Swift does not import.
#ifndef GOPROXY_COPENSSL_H
#define GOPROXY_COPENSSL_H

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#endif
