// libcurl's easy interface. The inline functions stand for variadic calls, one for each type of argument.
#ifndef GOPROXY_CCURL_H
#define GOPROXY_CCURL_H

#include <curl/curl.h>

// curl.h wraps these into type-checking macros, which a function without a constant option cannot use.
#undef curl_easy_setopt
#undef curl_easy_getinfo

static inline CURLcode goproxy_curl_set_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}
static inline CURLcode goproxy_curl_set_text(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}
static inline CURLcode goproxy_curl_set_pointer(CURL *handle, CURLoption option, void *value) {
    return curl_easy_setopt(handle, option, value);
}
typedef size_t (*goproxy_curl_sink)(char *bytes, size_t size, size_t count, void *context);
static inline CURLcode goproxy_curl_set_sink(CURL *handle, CURLoption option, goproxy_curl_sink value) {
    return curl_easy_setopt(handle, option, value);
}
static inline CURLcode goproxy_curl_get_long(CURL *handle, CURLINFO which, long *value) {
    return curl_easy_getinfo(handle, which, value);
}
static inline CURLcode goproxy_curl_get_text(CURL *handle, CURLINFO which, char **value) {
    return curl_easy_getinfo(handle, which, value);
}

#endif
