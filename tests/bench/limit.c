/* What OpenSSL itself takes for the keys of a protocol, without any Python: the limit that matching is held against.
 *
 *   limit gaen N      for each key six SHA-256 compressions (HKDF), one AES-128 key schedule, 144 blocks
 *   limit bluezone N  for each key a chain of 96 SHA-256 compressions
 *   limit dp3t N      for each key four SHA-256 compressions (HMAC), one AES-256 key schedule, 96 blocks
 *
 * Prints microseconds of processor time a key. No look-up, no file: less than any matcher can do with.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int main(int count, char **arguments)
{
    if (count != 3)
        return 64;
    int gaen = !strcmp(arguments[1], "gaen"), bluezone = !strcmp(arguments[1], "bluezone");
    int compressions = gaen ? 6 : bluezone ? 96 : 4, blocks = gaen ? 144 : bluezone ? 0 : 96, keys = atoi(arguments[2]);
    unsigned char plain[2304] = {0}, encrypted[2304 + 16], block[64] = {0};
    unsigned char sum = 0;
    int written;
    SHA256_CTX state;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (!context || !EVP_EncryptInit_ex(context, gaen ? EVP_aes_128_ecb() : EVP_aes_256_ecb(), NULL, plain, NULL))
        return 70;
    SHA256_Init(&state);
    clock_t begun = clock();
    for (int key = 0; key < keys; key++) {
        memcpy(block, &key, sizeof key);
        for (int number = 0; number < compressions; number++)
            SHA256_Transform(&state, block);
        if (blocks) {
            EVP_EncryptInit_ex(context, NULL, NULL, (unsigned char *)state.h, NULL);
            EVP_EncryptUpdate(context, encrypted, &written, plain, blocks * 16);
            sum ^= encrypted[0];
        }
    }
    printf("%.4f\n", (clock() - begun) * 1e6 / CLOCKS_PER_SEC / keys);
    return (sum ^ state.h[0]) == 0x12345678; /* used, so that nothing is left out */
}
