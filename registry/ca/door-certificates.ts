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

export interface DoorCertificatesOptions {
  ca: IssuingCa;
  /** Writes a plan down before it is signed. */
  record: (plan: CertificatePlan) => Promise<void>;
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
  readonly #options: DoorCertificatesOptions;
  readonly #listeners = new Set<(certificate: DoorCertificate) => void>();
  #cancel: Cancel = () => {};

  private constructor(options: DoorCertificatesOptions, { leaf, ...current }: Made) {
    this.#options = options;
    this.#current = current;
    this.#leaf = leaf;
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

  staple(): Buffer | null {
    return this.#options.staple(this.#leaf);
  }

  #schedule(delayMs: number): void {
    this.#cancel = this.#options.clock.after(delayMs, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    const { clock, log } = this.#options;
    try {
      const { leaf, ...current } = await make(this.#options);
      this.#current = current;
      this.#leaf = leaf;
      for (const use of this.#listeners) use(this.#current);
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
}

async function make({ ca, names, lifetimeMs, clock, record }: DoorCertificatesOptions): Promise<Made> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const plan = doorPlan(names, null, clock.now(), lifetimeMs, ca.notAfterMs);
  await record(plan);
  const leaf = await ca.sign(plan, publicKey.export({ type: 'spki', format: 'der' }));
  return {
    chain: certificatePem(leaf) + ca.issuing,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    trust: ca.bundle,
    leaf,
    notAfterMs: plan.notAfterMs,
  };
}
