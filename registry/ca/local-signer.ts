/** Signs with a key that is held in this process, in libuv's threads: a megabyte to hash stalls nobody. */
import { type KeyObject, sign } from 'node:crypto';
import { signatureAlgorithmOf, type TbsSigner } from './tbs-signer.ts';

export function localSigner(key: KeyObject): TbsSigner {
  const algorithm = signatureAlgorithmOf(key);
  return {
    algorithm,
    sign: (tbs) =>
      new Promise((resolve, reject) => {
        sign(algorithm.digest, tbs, key, (error, signature) => (error ? reject(error) : resolve(signature)));
      }),
  };
}
