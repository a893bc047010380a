/* SPDX-License-Identifier: MPL-2.0 */
/* Result codes and assertions.
 *
 * Functions that can fail return 0 (HM_OK) or one of these negative codes; what they produce is
 * passed back through `*ret_x`, which is left untouched on failure. HM_ASSERT states what our own
 * code guarantees. It stays on in release builds and never sees a value that came from a packet, a
 * peer, the disk, configuration, the clock or an API call. */
#ifndef HM_BASE_ERR_H
#define HM_BASE_ERR_H

/* One list of codes and texts: X(name, value, text). Values are part of the local protocol and are
 * never reused. */
#define HM_ERR_LIST(X)                                                                             \
    X(HM_OK, 0, "done")                                                                            \
    X(HM_EMALFORMED, -1, "malformed")                                                              \
    X(HM_EFULL, -2, "a limit is reached")                                                          \
    X(HM_ESTALE, -3, "stale")                                                                      \
    X(HM_EDENIED, -4, "denied")                                                                    \
    X(HM_ENOTFOUND, -5, "no such thing")                                                           \
    X(HM_ETIMEDOUT, -6, "timed out")                                                               \
    X(HM_ENOMEM, -7, "out of memory")                                                              \
    X(HM_EINVAL, -8, "invalid argument")                                                           \
    X(HM_EIO, -9, "input or output failed")                                                        \
    X(HM_EEXIST, -10, "already there")                                                             \
    X(HM_EBUSY, -11, "in use")                                                                     \
    X(HM_EUNREACHABLE, -12, "not reachable")                                                       \
    X(HM_EVERSION, -13, "unsupported version")                                                     \
    X(HM_EAMBIGUOUS, -14, "ambiguous")

enum hm_err {
#define HM_ERR_ENUM(name, value, text) name = value,
    HM_ERR_LIST(HM_ERR_ENUM)
#undef HM_ERR_ENUM
};

/* Returns the text of a code, "unknown error" for a foreign one. Static storage. */
const char *hm_strerror(int code);

/* Prints the broken promise to stderr and aborts. */
_Noreturn void hm_assert_failed(const char *what, const char *file, int line);

#define HM_ASSERT(cond) ((cond) ? (void) 0 : hm_assert_failed(#cond, __FILE__, __LINE__))

#endif
