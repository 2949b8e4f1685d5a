/** A key of the CA in a file: PKCS #8, encrypted (RFC 5958). It is in memory while the signer is open. */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { Fault } from '#common/fault.ts';
import { type SignatureAlgorithm, type Signer, signatureAlgorithmOf } from './signer.ts';

const signInPool = promisify(sign);

export class FileSigner implements Signer {
  readonly publicKey: KeyObject;
  readonly algorithm: SignatureAlgorithm;
  #key: KeyObject | null;

  /** Takes a private key that is in memory already. Faults `csr-key-type`. */
  constructor(key: KeyObject) {
    this.publicKey = createPublicKey(key);
    this.algorithm = signatureAlgorithmOf(key);
    this.#key = key;
  }

  /** Opens a PEM file. Faults `unavailable` when it is not there, is no key, or has another passphrase. */
  static async open(path: string, passphrase: string): Promise<FileSigner> {
    try {
      return new FileSigner(createPrivateKey({ key: await readFile(path, 'utf8'), passphrase }));
    } catch (cause) {
      if (cause instanceof Fault) throw cause;
      throw new Fault(
        'unavailable',
        `The CA key in ${path} cannot be opened; is ca.passphraseFile the one it was made with?`,
        { cause },
      );
    }
  }

  /** In the thread pool: a signature by RSA or P-384 takes a millisecond, in which nobody would be heard. */
  async sign(data: Buffer): Promise<Buffer> {
    if (!this.#key) throw new Fault('unavailable', 'The CA key is closed: the registry is shutting down.');
    // ECDSA comes as DER unless asked for otherwise.
    return signInPool(this.algorithm.digest, data, this.#key);
  }

  async close(): Promise<void> {
    this.#key = null;
  }
}
