/** A private key in a token: found by label, in a session of its own, signing what it is given. Every call blocks. */
import { hash } from 'node:crypto';
import { Fault } from '#common/fault.ts';
import { bitString, derNull, integer, octetString, oid, sequence } from '../der-writer.ts';
import { attribute, type Cryptoki, objectClass } from './cryptoki.ts';
import { TokenRefusal } from './return-value.ts';

export interface TokenKeyPlace {
  readonly tokenLabel: string;
  readonly keyLabel: string;
  readonly pinFile: string;
}

/** CKM_RSA_PKCS, CKM_ECDSA and CKM_EDDSA: what is hashed is hashed here, which every token can take. */
const mechanisms = { rsa: 0x1n, ec: 0x1041n, edwards: 0x1057n } as const;
type KeyKind = keyof typeof mechanisms;
/** CKK_… */
const kinds = new Map<bigint, KeyKind>([
  [0x0n, 'rsa'],
  [0x3n, 'ec'],
  [0x40n, 'edwards'],
]);
const sha256 = sequence(oid('2.16.840.1.101.3.4.2.1'), derNull);
const p384 = oid('1.3.132.0.34');

export class TokenKey {
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKey: Buffer;
  readonly #cryptoki: Cryptoki;
  readonly #session: bigint;
  readonly #key: bigint;
  readonly #kind: KeyKind;
  readonly #digest: 'sha256' | 'sha384';

  private constructor(cryptoki: Cryptoki, session: bigint, place: TokenKeyPlace) {
    this.#cryptoki = cryptoki;
    this.#session = session;
    this.#key = theOne(cryptoki, session, objectClass.privateKey, place);
    const open = theOne(cryptoki, session, objectClass.publicKey, place);
    const read = (type: bigint) => cryptoki.attributeOf(session, open, type);
    const kind = kinds.get(read(attribute.keyType).readBigUInt64LE());
    if (!kind)
      throw new Fault('unavailable', `The key "${place.keyLabel}" is neither RSA nor of an elliptic curve.`);
    this.#kind = kind;
    this.publicKey = publicKeyInfo(kind, read);
    this.#digest = kind === 'ec' && read(attribute.ecParams).equals(p384) ? 'sha384' : 'sha256';
  }

  /** Opens a session and finds the key. Faults `unavailable` with what to do; TokenRefusal when the token fails. */
  static open(cryptoki: Cryptoki, place: TokenKeyPlace, pin: string): TokenKey {
    const { tokenLabel } = place;
    const tokens = cryptoki.tokens();
    const [token, second] = tokens.filter(({ label }) => label === tokenLabel);
    if (!token || second) {
      const others = tokens.map(({ label }) => `"${label}"`).join(', ') || 'none';
      throw new Fault(
        'unavailable',
        second
          ? `Two tokens are labelled "${tokenLabel}"; label one of them anew.`
          : `No token is labelled "${tokenLabel}"; there are: ${others}. Plug it in, or correct ca.signer.tokenLabel.`,
      );
    }
    const session = cryptoki.openSession(token.slot);
    try {
      cryptoki.login(session, pin);
      return new TokenKey(cryptoki, session, place);
    } catch (thrown) {
      closeQuietly(cryptoki, session);
      throw thrown;
    }
  }

  /** The signature in the encoding of X.509. Throws TokenRefusal. */
  sign(data: Buffer): Buffer {
    const [cryptoki, session, key] = [this.#cryptoki, this.#session, this.#key];
    switch (this.#kind) {
      case 'rsa': {
        // DigestInfo (RFC 8017, section 9.2); the padding is the token's.
        const digest = sequence(sha256, octetString(hash('sha256', data, 'buffer')));
        return cryptoki.sign(session, mechanisms.rsa, key, digest);
      }
      case 'ec': {
        // r and s, each half of what comes (PKCS #11 curves 2.40, section 2.3.1); X.509 wants two INTEGERs.
        const raw = cryptoki.sign(session, mechanisms.ec, key, hash(this.#digest, data, 'buffer'));
        const half = raw.length / 2;
        return sequence(
          integer(raw.toString('hex', 0, half)),
          integer(raw.toString('hex', half, raw.length)),
        );
      }
      case 'edwards':
        return cryptoki.sign(session, mechanisms.edwards, key, data);
    }
  }

  close(): void {
    closeQuietly(this.#cryptoki, this.#session);
  }
}

function closeQuietly(cryptoki: Cryptoki, session: bigint): void {
  try {
    cryptoki.closeSession(session);
  } catch (thrown) {
    // A session that died with its token is closed.
    if (!(thrown instanceof TokenRefusal)) throw thrown;
  }
}

function theOne(cryptoki: Cryptoki, session: bigint, kind: bigint, place: TokenKeyPlace): bigint {
  const word = kind === objectClass.privateKey ? 'private key' : 'public key';
  const [object, second] = cryptoki.find(session, kind, place.keyLabel);
  if (object !== undefined && second === undefined) return object;
  const where = `labelled "${place.keyLabel}" on the token "${place.tokenLabel}"`;
  throw new Fault(
    'unavailable',
    object === undefined
      ? `There is no ${word} ${where}. Make a pair with "pkcs11-tool --keypairgen", or correct ca.signer.keyLabel.`
      : `There is more than one ${word} ${where}; label one of them anew.`,
  );
}

/** RFC 3279 sections 2.3.1 and 2.3.5, RFC 8410 section 4. */
function publicKeyInfo(kind: KeyKind, read: (type: bigint) => Buffer): Buffer {
  if (kind === 'rsa') {
    const [modulus, exponent] = [read(attribute.modulus), read(attribute.publicExponent)];
    const key = sequence(integer(modulus.toString('hex')), integer(exponent.toString('hex')));
    return sequence(sequence(oid('1.2.840.113549.1.1.1'), derNull), bitString(key));
  }
  // The point is wrapped in an OCTET STRING, by most tokens.
  const given = read(attribute.ecPoint);
  const point = given[0] === 0x04 && given[1] === given.length - 2 ? given.subarray(2) : given;
  const algorithm =
    kind === 'ec'
      ? sequence(oid('1.2.840.10045.2.1'), read(attribute.ecParams))
      : sequence(oid('1.3.101.112'));
  return sequence(algorithm, bitString(point));
}
