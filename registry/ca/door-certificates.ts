/** The certificate of the doors of this process: from the same CA as the devices', renewed after two thirds of its life. */
import { generateKeyPairSync } from 'node:crypto';
import { isIP } from 'node:net';
import { type Cancel, type Clock, timestamp } from '#common/clock.ts';
import type { DoorCertificate, DoorCertificateSource } from '#common/contract/line.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import { certificatePem } from '#common/x509/pem.ts';
import { makeSerialNumber } from './ca-certificates.ts';
import type { IssuingCa } from './issuing-ca.ts';
import type { CertificatePlan } from './plan.ts';

/** The issuing CAs, as far as this needs them. */
export interface DoorIssuers {
  readonly preferred: { readonly id: string; readonly ca: IssuingCa };
  readonly ids: readonly string[];
  /** PEM of the root and of all that are trusted. */
  readonly trust: string;
}

export interface DoorCertificatesOptions {
  issuers: DoorIssuers;
  /** Writes a plan down before it is signed, with the id of its issuer. */
  record: (plan: CertificatePlan, issuer: string) => Promise<void>;
  /** The OCSP answer about a certificate in DER, as it is now. */
  staple: (certificate: Buffer) => Buffer | null;
  /** DNS names and IP addresses. */
  names: readonly string[];
  lifetimeMs: number;
  clock: Clock;
  log: Logger;
}

const renewAfter = 2 / 3;
const retryMs = 60_000;

/** The plan of a server certificate; with a URI it is a client certificate too. */
export function doorPlan(
  names: readonly string[],
  uri: string | null,
  nowMs: number,
  lifetimeMs: number,
  limitMs: number,
): CertificatePlan {
  const startMs = Math.floor(nowMs / 1000) * 1000;
  return {
    serialNumber: makeSerialNumber(),
    commonName: names[0] ?? 'localhost',
    subject: [],
    uris: uri === null ? [] : [uri],
    dnsNames: names.filter((name) => isIP(name) === 0),
    addresses: names.filter((name) => isIP(name) !== 0),
    purposes: uri === null ? ['serverAuth'] : ['serverAuth', 'clientAuth'],
    notBeforeMs: startMs - 3_600_000,
    notAfterMs: Math.min(startMs + lifetimeMs, limitMs),
  };
}

/** The key never leaves memory: a restart makes a new one. */
export class DoorCertificates implements DoorCertificateSource, Disposable {
  #current: DoorCertificate;
  #leaf: Buffer;
  #issuer: string;
  readonly #options: DoorCertificatesOptions;
  readonly #listeners = new Set<(certificate: DoorCertificate) => void>();
  #cancel: Cancel = () => {};

  private constructor(options: DoorCertificatesOptions, { leaf, issuer, ...current }: Made) {
    this.#options = options;
    this.#current = current;
    this.#leaf = leaf;
    this.#issuer = issuer;
    this.#schedule((current.notAfterMs - options.clock.now()) * renewAfter);
  }

  static async open(options: DoorCertificatesOptions): Promise<DoorCertificates> {
    return new DoorCertificates(options, await make(options));
  }

  get current(): DoorCertificate {
    return this.#current;
  }

  onRenewed(use: (certificate: DoorCertificate) => void): () => void {
    this.#listeners.add(use);
    return () => this.#listeners.delete(use);
  }

  /** To be called when the issuers have changed: what is trusted is said at once; a certificate of one that is gone is renewed. */
  reconsider(): void {
    const { trust, ids } = this.#options.issuers;
    if (trust !== this.#current.trust) this.#use({ ...this.#current, trust });
    if (ids.includes(this.#issuer)) return;
    this.#cancel();
    void this.#renew();
  }

  staple(): Buffer | null {
    return this.#options.staple(this.#leaf);
  }

  #use(current: DoorCertificate): void {
    this.#current = current;
    for (const use of this.#listeners) use(current);
  }

  #schedule(delayMs: number): void {
    this.#cancel = this.#options.clock.after(delayMs, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    const { clock, log } = this.#options;
    try {
      const { leaf, issuer, ...current } = await make(this.#options);
      this.#leaf = leaf;
      this.#issuer = issuer;
      this.#use(current);
      log.info({ notAfter: timestamp(this.#current.notAfterMs) }, 'The door certificate was renewed.');
      this.#schedule((this.#current.notAfterMs - clock.now()) * renewAfter);
    } catch (thrown) {
      log.error({ fault: Fault.of(thrown).message }, 'The door certificate could not be renewed.');
      this.#schedule(retryMs);
    }
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }
}

interface Made extends DoorCertificate {
  /** DER. */
  readonly leaf: Buffer;
  /** Id. */
  readonly issuer: string;
}

async function make({ issuers, names, lifetimeMs, clock, record }: DoorCertificatesOptions): Promise<Made> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { id: issuer, ca } = issuers.preferred;
  const plan = doorPlan(names, null, clock.now(), lifetimeMs, ca.notAfterMs);
  await record(plan, issuer);
  const leaf = await ca.sign(plan, publicKey.export({ type: 'spki', format: 'der' }));
  return {
    chain: certificatePem(leaf) + ca.issuing,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    trust: issuers.trust,
    leaf,
    issuer,
    notAfterMs: plan.notAfterMs,
  };
}
