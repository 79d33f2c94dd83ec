// AES-128-GCM of Intel's Multi-Buffer Crypto for IPsec library. Its manager is a table of some hundred functions that are chosen
// for the processor; what is needed of it is copied out here, in C, because only C knows where in the table each stands.
#ifndef GOPROXY_CIPSECMB_H
#define GOPROXY_CIPSECMB_H

#include <stddef.h>
#include <stdint.h>

// A key is expanded once. A message is begun with its 12 bytes of IV and its header, goes through in pieces, and ends with its tag.
struct goproxy_gcm {
    size_t key_bytes;
    size_t message_bytes;
    void (*expand)(const uint8_t *key, void *expanded);
    void (*begin)(const void *expanded, void *message, const uint8_t *iv, const uint8_t *header, uint64_t count);
    void (*encrypt)(const void *expanded, void *message, uint8_t *out, const uint8_t *in, uint64_t count);
    void (*decrypt)(const void *expanded, void *message, uint8_t *out, const uint8_t *in, uint64_t count);
    void (*end_encrypt)(const void *expanded, void *message, uint8_t *tag, uint64_t count);
    void (*end_decrypt)(const void *expanded, void *message, uint8_t *tag, uint64_t count);
};

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)
#include <dlfcn.h>
#include <intel-ipsec-mb.h>

// Answers 1 if the library is there, is not older than the header that this was built with, has passed its own test, and the
// processor has the wide instructions (VAES, VPCLMULQDQ) that make it worth while. Nothing is ever unloaded.
static inline int goproxy_gcm_load(struct goproxy_gcm *gcm) {
    void *library = dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return 0;
    unsigned (*version)(void) = (unsigned (*)(void))dlsym(library, "imb_get_version");
    IMB_MGR *(*make)(uint64_t) = (IMB_MGR *(*)(uint64_t))dlsym(library, "alloc_mb_mgr");
    void (*choose)(IMB_MGR *, IMB_ARCH *) = (void (*)(IMB_MGR *, IMB_ARCH *))dlsym(library, "init_mb_mgr_auto");
    if (version == NULL || make == NULL || choose == NULL || version() < IMB_VERSION_NUM) return 0;
    IMB_MGR *manager = make(0);
    if (manager == NULL) return 0;
    choose(manager, NULL);
    const uint64_t wide = IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ | IMB_FEATURE_AVX512_SKX;
    const uint64_t tested = IMB_FEATURE_SELF_TEST | IMB_FEATURE_SELF_TEST_PASS;
    if ((manager->features & wide) != wide || (manager->features & tested) != tested) return 0;
    gcm->key_bytes = sizeof(struct gcm_key_data);
    gcm->message_bytes = sizeof(struct gcm_context_data);
    gcm->expand = (void (*)(const uint8_t *, void *))manager->gcm128_pre;
    gcm->begin = (void (*)(const void *, void *, const uint8_t *, const uint8_t *, uint64_t))manager->gcm128_init;
    gcm->encrypt = (void (*)(const void *, void *, uint8_t *, const uint8_t *, uint64_t))manager->gcm128_enc_update;
    gcm->decrypt = (void (*)(const void *, void *, uint8_t *, const uint8_t *, uint64_t))manager->gcm128_dec_update;
    gcm->end_encrypt = (void (*)(const void *, void *, uint8_t *, uint64_t))manager->gcm128_enc_finalize;
    gcm->end_decrypt = (void (*)(const void *, void *, uint8_t *, uint64_t))manager->gcm128_dec_finalize;
    return 1;
}
#else
static inline int goproxy_gcm_load(struct goproxy_gcm *gcm) { return 0; }
#endif

#endif
