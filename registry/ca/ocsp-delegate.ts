/**
 * Who signs OCSP answers for one issuer: a key that is made here and never leaves memory, with a certificate of that
 * issuer which is renewed after two thirds of its life. So the issuer's key signs once in weeks, not once an answer.
 */
import { generateKeyPairSync } from 'node:crypto';
import { type Cancel, type Clock, timestamp } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import { makeSerialNumber } from './ca-certificates.ts';
import { makeCertificate } from './certificate.ts';
import type { KeyUsage } from './extensions.ts';
import { type IssuerIdentity, keyIdOf } from './issuer-identity.ts';
import type { OcspKey } from './ocsp-response.ts';
import type { TbsSigner } from './signer.ts';

export interface OcspDelegateOptions {
  issuer: IssuerIdentity;
  /** Nothing that an issuer signed outlives it. */
  issuerNotAfterMs: number;
  signer: TbsSigner;
  /** Writes it down before it is signed: serial number in hex, end in milliseconds since 1970. */
  record: (serial: string, notAfterMs: number) => Promise<void>;
  lifetimeMs: number;
  clock: Clock;
  log: Logger;
}

const renewAfter = 2 / 3;
const retryMs = 60_000;
const backdateMs = 3_600_000;

export class OcspDelegate implements Disposable {
  #current: OcspKey | null = null;
  readonly #options: OcspDelegateOptions;
  #cancel: Cancel = () => {};
  #closed = false;

  private constructor(options: OcspDelegateOptions) {
    this.#options = options;
  }

  /** An issuer that cannot sign now is asked again; until then there is none. */
  static async open(options: OcspDelegateOptions): Promise<OcspDelegate> {
    const delegate = new OcspDelegate(options);
    await delegate.#renew();
    return delegate;
  }

  /** Null once it has expired, which only an issuer that could not sign for a third of its life brings about. */
  get current(): OcspKey | null {
    const current = this.#current;
    return current && current.notAfterMs > this.#options.clock.now() ? current : null;
  }

  async #renew(): Promise<void> {
    const { clock, log } = this.#options;
    let delayMs = retryMs;
    try {
      const made = await makeOcspKey(this.#options, clock.now());
      this.#current = made;
      delayMs = (made.notAfterMs - clock.now()) * renewAfter;
      log.info({ notAfter: timestamp(made.notAfterMs) }, 'A signer of OCSP answers has a new certificate.');
    } catch (thrown) {
      log.error({ fault: Fault.of(thrown).message }, 'A signer of OCSP answers could not get a certificate.');
    }
    // An issuer at its end leaves no third to renew in.
    if (!this.#closed) this.#cancel = clock.after(Math.max(delayMs, retryMs / 2), () => void this.#renew());
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#cancel();
  }
}

/** P-256 whatever the issuer's key is: an answer then costs some thirty microseconds, and any client can verify it. */
async function makeOcspKey(options: OcspDelegateOptions, nowMs: number): Promise<OcspKey> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicKeyInfo = publicKey.export({ type: 'spki', format: 'der' });
  const startMs = Math.floor(nowMs / 1000) * 1000;
  const notAfterMs = Math.min(startMs + options.lifetimeMs, options.issuerNotAfterMs);
  const serialNumber = makeSerialNumber();
  await options.record(serialNumber, notAfterMs);
  const fields = {
    serialNumber,
    issuerName: options.issuer.name,
    subject,
    notBeforeMs: startMs - backdateMs,
    notAfterMs,
    publicKey: publicKeyInfo,
    isCa: false,
    keyUsage,
    extendedKeyUsage,
    authorityKeyId: options.issuer.keyId,
    // Nobody need ask whether the delegate itself is revoked: it lives for weeks, its key as long as this process.
    ocspNoCheck: true,
  };
  const certificate = await makeCertificate(fields, options.signer);
  return { key: privateKey, keyHash: keyIdOf(publicKeyInfo), certificate, notAfterMs };
}

/** RFC 6960, section 4.2.2.2: the purpose is what makes it a delegate. */
const subject = [{ type: 'CN', value: 'Fleetgate OCSP signer' }];
const keyUsage: readonly KeyUsage[] = ['digitalSignature'];
const extendedKeyUsage = ['OCSPSigning'];
