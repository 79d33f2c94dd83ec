// OpenSSL 3: TLS, AES-GCM, Ed25519, scrypt, HKDF. The inline functions stand for macros that Swift does not import.
#ifndef GOPROXY_COPENSSL_H
#define GOPROXY_COPENSSL_H

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

// Options are built with a cast and a shift, which the importer does not follow.
static const uint64_t goproxy_SSL_OP_NO_TICKET = SSL_OP_NO_TICKET;
static const uint64_t goproxy_SSL_OP_NO_COMPRESSION = SSL_OP_NO_COMPRESSION;
static const uint64_t goproxy_SSL_OP_NO_RENEGOTIATION = SSL_OP_NO_RENEGOTIATION;
static const uint64_t goproxy_SSL_OP_ENABLE_MIDDLEBOX_COMPAT = SSL_OP_ENABLE_MIDDLEBOX_COMPAT;
static const uint64_t goproxy_SSL_OP_ALLOW_NO_DHE_KEX = SSL_OP_ALLOW_NO_DHE_KEX;
static const uint64_t goproxy_SSL_OP_IGNORE_UNEXPECTED_EOF = SSL_OP_IGNORE_UNEXPECTED_EOF;

// These set values of a context by SSL_CTX_ctrl. Each answers 1 for success.
static inline int goproxy_SSL_CTX_allow_only(SSL_CTX *context, int version) {
    return SSL_CTX_set_min_proto_version(context, version) == 1
        && SSL_CTX_set_max_proto_version(context, version) == 1;
}
static inline int goproxy_SSL_CTX_set_groups(SSL_CTX *context, const char *groups) {
    return SSL_CTX_set1_groups_list(context, groups) == 1;
}
static inline void goproxy_SSL_CTX_set_session_cache_off(SSL_CTX *context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}
static inline long goproxy_SSL_CTX_get_session_cache_mode(SSL_CTX *context) {
    return SSL_CTX_get_session_cache_mode(context);
}
static inline void goproxy_SSL_CTX_set_mode(SSL_CTX *context, long mode) { SSL_CTX_set_mode(context, mode); }
static inline long goproxy_SSL_CTX_get_mode(SSL_CTX *context) { return SSL_CTX_get_mode(context); }

// HKDF-Expand (RFC 5869, 2.3) with SHA-256. In C because OSSL_PARAM is a list of pointers into its caller's values.
static inline int goproxy_hkdf_expand_sha256(const unsigned char *key, size_t key_length,
                                             const unsigned char *info, size_t info_length,
                                             unsigned char *out, size_t out_length) {
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, key_length),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_length),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    int done = context != NULL && EVP_KDF_derive(context, out, out_length, parameters) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return done;
}

#endif
