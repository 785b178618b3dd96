/* Which of many published keys may have been met: what sieve.py asks, for a bunch of keys in one call.
 *
 * Of each key the rolling ids of one day are computed and looked up by their first four bytes. AES and SHA-256 are
 * libcrypto's, whose functions are handed in, so that nothing is linked and what the processor can do is OpenSSL's to
 * know. It allocates nothing, keeps nothing between two calls, and knows no protocol but by the three ways in which
 * ids come from a key.
 */
#include <stdint.h>
#include <string.h>

/* Also in sieve.py: what was built from another source is not used. */
enum { VERSION = 1 };

enum derivation { CHAIN = 1, HKDF_AES = 2, HMAC_AES = 3 };

enum { LONGEST_SECRET = 32, DIGEST = 32, CIPHER_BLOCK = 16, HASH_BLOCK = 64, FAILED = -1 };

/* SHA256_CTX of <openssl/sha.h>: only h is looked at. */
struct sha256 {
    uint32_t h[8], length[2], data[16];
    unsigned int used, digest_size;
};

/* What to compute of each key. Pointers are the caller's, and valid during the call. */
struct recipe {
    void (*transform)(struct sha256 *, const uint8_t *block); /* SHA256_Transform */
    int (*initialize)(void *, const void *, void *, const uint8_t *key, const uint8_t *iv); /* EVP_EncryptInit_ex */
    int (*update)(void *, uint8_t *out, int *written, const uint8_t *in, int size); /* EVP_EncryptUpdate */
    void *context; /* EVP_CIPHER_CTX with the cipher set; not looked at by CHAIN */
    const uint8_t *blocks; /* `count` of them, to be encrypted */
    uint8_t *encrypted; /* room for `count` + 1 */
    const uint8_t *label;
    uint32_t label_size; /* with a secret it fits into one block of the hash: 22 at most */
    uint32_t derivation;
    uint32_t secret_size; /* 16 or 32 */
    uint32_t days; /* how often a secret is hashed before, CHAIN and HMAC_AES */
    uint32_t count; /* rolling ids of a key */
};

/* What was sighted on that day: the first four bytes of each id, little-endian. */
struct day {
    const uint8_t *bits; /* a bit for each value of the highest 32 - `shift` bits */
    const uint32_t *sorted;
    uint32_t count;
    uint32_t shift;
};

static const struct sha256 FRESH = {
    .h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19},
};

static uint32_t little_endian(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static int holds(const struct day *day, uint32_t number)
{
    uint32_t place = number >> day->shift;
    if (!(day->bits[place >> 3] >> (place & 7) & 1))
        return 0;
    uint32_t low = 0, high = day->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (day->sorted[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < day->count && day->sorted[low] == number;
}

static void put_digest(const struct sha256 *state, uint8_t *out)
{
    for (int word = 0; word < 8; word++) {
        out[4 * word] = state->h[word] >> 24;
        out[4 * word + 1] = state->h[word] >> 16;
        out[4 * word + 2] = state->h[word] >> 8;
        out[4 * word + 3] = state->h[word];
    }
}

/* The block that ends a message of `before` + `size` bytes with its last `size`, 55 at most. */
static void last_block(uint8_t *block, const uint8_t *message, uint32_t size, uint32_t before)
{
    uint32_t bits = 8 * (before + size);
    memcpy(block, message, size);
    block[size] = 0x80;
    memset(block + size + 1, 0, HASH_BLOCK - 3 - size);
    block[HASH_BLOCK - 2] = bits >> 8;
    block[HASH_BLOCK - 1] = bits;
}

/* HMAC's state after the padded key. */
static void begin(const struct recipe *recipe, struct sha256 *state, const uint8_t *key, uint8_t pad)
{
    uint8_t block[HASH_BLOCK];
    memset(block, pad, sizeof block);
    for (int at = 0; at < DIGEST; at++)
        block[at] ^= key[at];
    *state = FRESH;
    recipe->transform(state, block);
}

/* HMAC of a message of up to 55 bytes under the key of both states. */
static void authenticate(const struct recipe *recipe, const struct sha256 *inner, const struct sha256 *outer,
                         const uint8_t *message, uint32_t size, uint8_t *out)
{
    uint8_t block[HASH_BLOCK], digest[DIGEST];
    struct sha256 state = *inner;
    last_block(block, message, size, HASH_BLOCK);
    recipe->transform(&state, block);
    put_digest(&state, digest);
    state = *outer;
    last_block(block, digest, sizeof digest, HASH_BLOCK);
    recipe->transform(&state, block);
    put_digest(&state, out);
}

static void authenticate_under(const struct recipe *recipe, const uint8_t *key, const uint8_t *message, uint32_t size,
                               uint8_t *out)
{
    struct sha256 inner, outer;
    begin(recipe, &inner, key, 0x36);
    begin(recipe, &outer, key, 0x5c);
    authenticate(recipe, &inner, &outer, message, size, out);
}

/* The secret `days` later. */
static void advance(const struct recipe *recipe, uint8_t *secret)
{
    uint8_t block[HASH_BLOCK];
    for (uint32_t day = 0; day < recipe->days; day++) {
        struct sha256 state = FRESH;
        last_block(block, secret, DIGEST, 0);
        recipe->transform(&state, block);
        put_digest(&state, secret);
    }
}

/* Bluezone: a chain of hashes; an id begins with the first byte of each of the link's first four words. */
static int chain_passes(const struct recipe *recipe, const struct day *day, const uint8_t *secret)
{
    uint8_t block[HASH_BLOCK], message[LONGEST_SECRET + DIGEST];
    memcpy(message, secret, DIGEST);
    advance(recipe, message);
    memcpy(message + DIGEST, recipe->label, recipe->label_size);
    last_block(block, message, DIGEST + recipe->label_size, 0);
    int passes = 0;
    for (uint32_t link = 0; link < recipe->count; link++) {
        struct sha256 state = FRESH;
        recipe->transform(&state, block);
        passes |= holds(day, state.h[0] >> 24 | state.h[1] >> 24 << 8 | state.h[2] >> 24 << 16 | state.h[3] >> 24 << 24);
        if (link == 0)
            last_block(block, secret, DIGEST, 0);
        put_digest(&state, block);
    }
    return passes;
}

static int blocks_pass(const struct recipe *recipe, const struct day *day, const uint8_t *key)
{
    int written, passes = 0;
    if (recipe->initialize(recipe->context, NULL, NULL, key, NULL) != 1 ||
        recipe->update(recipe->context, recipe->encrypted, &written, recipe->blocks, recipe->count * CIPHER_BLOCK) != 1)
        return FAILED;
    for (uint32_t number = 0; number < recipe->count; number++)
        passes |= holds(day, little_endian(recipe->encrypted + number * CIPHER_BLOCK));
    return passes;
}

/* Sets passed[n] for each of the `keys` secrets one of whose ids may have been sighted, and clears it for the others.
 * Gives how many may; FAILED where libcrypto gave up. */
int sieve(const struct recipe *recipe, const struct day *day, const uint8_t *secrets, uint32_t keys, uint8_t *passed)
{
    static const uint8_t no_salt[DIGEST];
    uint8_t key[DIGEST], message[HASH_BLOCK];
    struct sha256 inner, outer;
    int found = 0;
    if (recipe->derivation == HKDF_AES) {
        begin(recipe, &inner, no_salt, 0x36);
        begin(recipe, &outer, no_salt, 0x5c);
    }
    memcpy(message, recipe->label, recipe->label_size);
    message[recipe->label_size] = 1;
    for (uint32_t number = 0; number < keys; number++, secrets += recipe->secret_size) {
        int passes;
        switch (recipe->derivation) {
        case CHAIN:
            passes = chain_passes(recipe, day, secrets);
            break;
        case HKDF_AES: /* GAEN */
            authenticate(recipe, &inner, &outer, secrets, recipe->secret_size, key);
            authenticate_under(recipe, key, message, recipe->label_size + 1, key);
            passes = blocks_pass(recipe, day, key);
            break;
        case HMAC_AES: /* DP-3T */
            memcpy(key, secrets, DIGEST);
            advance(recipe, key);
            authenticate_under(recipe, key, recipe->label, recipe->label_size, key);
            passes = blocks_pass(recipe, day, key);
            break;
        default:
            passes = FAILED;
        }
        if (passes == FAILED)
            return FAILED;
        passed[number] = passes;
        found += passes;
    }
    return found;
}

int sieve_version(void)
{
    return VERSION;
}
