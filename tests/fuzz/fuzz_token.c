/* SPDX-License-Identifier: MPL-2.0 */
/* Tokens, as a person pastes them; and, so that the checksum is not the end of it, tokens made
 * of the input, which must come back as they were. */
#include "fuzz.h"

#include "base/err.h"
#include "base/text.h"
#include "io/keys.h"

#include <sodium.h>

static void check(const struct token *token)
{
    struct token again;
    char text[TOKEN_TEXT_BYTES];
    FUZZ_ASSERT(text_is_dns_label(token->mesh, strlen(token->mesh)));
    FUZZ_ASSERT(token->addr_count <= TOKEN_ADDRS_MAX);
    token_format(token, text);
    FUZZ_ASSERT(strlen(text) < sizeof text);
    FUZZ_ASSERT(token_parse(text, &again, NULL) == HM_OK);
    FUZZ_ASSERT(strcmp(again.mesh, token->mesh) == 0);
    FUZZ_ASSERT(memcmp(again.key, token->key, sizeof again.key) == 0);
    FUZZ_ASSERT(node_id_eq(&again.issuer, &token->issuer));
    FUZZ_ASSERT(again.addr_count == token->addr_count);
    for (size_t i = 0; i < token->addr_count; i++) {
        FUZZ_ASSERT(addr_eq(&again.addrs[i], &token->addrs[i]));
    }
}

static void made_of_input(struct input *in)
{
    struct token token;
    char name[128] = "";
    memset(&token, 0, sizeof token);
    in_fill(in, name, in_u8(in) % sizeof name);
    name[sizeof name - 1] = '\0';
    text_fold_name(name, token.mesh, sizeof token.mesh);
    in_fill(in, token.key, sizeof token.key);
    in_fill(in, token.issuer.b, sizeof token.issuer.b);
    token.addr_count = in_u8(in) % (TOKEN_ADDRS_MAX + 1);
    for (size_t i = 0; i < token.addr_count; i++) {
        token.addrs[i].family = in_u8(in) % 2 == 0 ? 4 : 6;
        in_fill(in, token.addrs[i].ip, token.addrs[i].family == 4 ? 4 : 16);
        token.addrs[i].port = in_u16(in);
        token.addrs[i].port = token.addrs[i].port > 0 ? token.addrs[i].port : 1;
    }
    check(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct token token;
    struct why why;
    char *text = malloc(size + 1);
    FUZZ_ASSERT(text != NULL && sodium_init() >= 0);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    memset(&why, 0, sizeof why);
    int result = token_parse(text, &token, &why);
    FUZZ_ASSERT(result == HM_OK || result == HM_EMALFORMED);
    if (result == HM_OK) {
        check(&token);
    } else {
        FUZZ_ASSERT(strlen(why.text) > 0);
    }
    struct input in = {data, size};
    made_of_input(&in);
    free(text);
    return 0;
}
