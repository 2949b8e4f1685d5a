/**
 * The certificate of a gateway that follows a remote registry: asked for once with an API token, kept on disk, renewed
 * with itself after two thirds of its life. It is both the server certificate of the doors and the gateway's own
 * client certificate towards the registry.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { backoffMs } from '#common/backoff.ts';
import { type Cancel, type Clock, parseTimestamp, timestamp } from '#common/clock.ts';
import type { DoorCertificate, DoorCertificateSource } from '#common/contract/line.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import { makeCsr } from '#common/x509/csr.ts';
import { RegistryClient } from './registry-client.ts';

export interface DoorCredentialsOptions {
  registryUrl: string;
  /** Name of this gateway in the registry. */
  name: string;
  /** DNS names and IP addresses that devices reach it by. */
  names: readonly string[];
  /** Folder of the key and certificate, made 0700. */
  dir: string;
  /** PEM bundle that the registry's certificate leads to; needed until the first enrollment. */
  caFile?: string;
  /** File with an API token; needed until the first enrollment. */
  tokenFile?: string;
  clock: Clock;
  log: Logger;
}

const renewAfter = 2 / 3;
const retry = { firstMs: 5_000, limitMs: 600_000 };

interface Kept extends DoorCertificate {
  readonly issuedAtMs: number;
}

export class DoorCredentials implements Omit<DoorCertificateSource, 'staple'>, Disposable {
  #current: Kept;
  readonly #options: DoorCredentialsOptions;
  readonly #listeners = new Set<(certificate: DoorCertificate) => void>();
  #cancel: Cancel = () => {};
  #attempt = 0;

  private constructor(options: DoorCredentialsOptions, current: Kept) {
    this.#options = options;
    this.#current = current;
    this.#schedule();
  }

  /** Reads what is kept, else enrolls. Faults `unauthenticated` when it has nothing to enroll with. */
  static async open(options: DoorCredentialsOptions): Promise<DoorCredentials> {
    await mkdir(options.dir, { recursive: true, mode: 0o700 });
    const kept = await readKept(options);
    const usable = kept && kept.notAfterMs > options.clock.now();
    const current = usable ? kept : await enroll(options, await bootstrap(options));
    return new DoorCredentials(options, current);
  }

  get current(): DoorCertificate {
    return this.#current;
  }

  onRenewed(use: (certificate: DoorCertificate) => void): () => void {
    this.#listeners.add(use);
    return () => this.#listeners.delete(use);
  }

  #schedule(): void {
    const { issuedAtMs, notAfterMs } = this.#current;
    const due = issuedAtMs + (notAfterMs - issuedAtMs) * renewAfter - this.#options.clock.now();
    const delay = this.#attempt > 0 ? Math.max(due, backoffMs(retry, this.#attempt)) : Math.max(due, 0);
    this.#cancel = this.#options.clock.after(delay, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    const { clock, log } = this.#options;
    const { issuedAtMs, notAfterMs, chain, key, trust } = this.#current;
    // A delay longer than a timer can hold fires early: then there is nothing to do yet.
    if (clock.now() >= issuedAtMs + (notAfterMs - issuedAtMs) * renewAfter) {
      try {
        this.#current = await enroll(this.#options, { ca: trust, certificate: { chain, key } });
        this.#attempt = 0;
        for (const use of this.#listeners) use(this.#current);
        log.info({ notAfter: timestamp(this.#current.notAfterMs) }, 'The door certificate was renewed.');
      } catch (thrown) {
        this.#attempt += 1;
        log.warn({ fault: Fault.of(thrown).message }, 'The door certificate could not be renewed yet.');
      }
    }
    this.#schedule();
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }
}

const files = (dir: string) => ({
  key: join(dir, 'door.key'),
  certificate: join(dir, 'door.json'),
});

async function readKept({ dir }: DoorCredentialsOptions): Promise<Kept | undefined> {
  const at = files(dir);
  if (!existsSync(at.certificate) || !existsSync(at.key)) return undefined;
  return { ...JSON.parse(await readFile(at.certificate, 'utf8')), key: await readFile(at.key, 'utf8') };
}

async function bootstrap({ caFile, tokenFile, registryUrl }: DoorCredentialsOptions) {
  if (!caFile || !tokenFile) {
    throw new Fault(
      'unauthenticated',
      `To join ${registryUrl} for the first time this gateway needs --ca and --token-file of the registry.`,
    );
  }
  return { ca: await readFile(caFile, 'utf8'), token: (await readFile(tokenFile, 'utf8')).trim() };
}

/** The key is written before the certificate that names it, each by rename: a crash leaves a pair or none. */
async function enroll(
  options: DoorCredentialsOptions,
  credentials: ConstructorParameters<typeof RegistryClient>[1],
): Promise<Kept> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const csr = await makeCsr(privateKey, options.name);
  await using client = new RegistryClient(options.registryUrl, credentials);
  const issued = await client.enroll({ name: options.name, csr, names: options.names });
  const kept: Kept = {
    chain: issued.chain,
    trust: issued.trust,
    key: pemOf(privateKey),
    issuedAtMs: options.clock.now(),
    notAfterMs: parseTimestamp(issued.notAfter),
  };
  const at = files(options.dir);
  await replaceFile(at.key, kept.key);
  await replaceFile(at.certificate, JSON.stringify({ ...kept, key: undefined }));
  return kept;
}

const pemOf = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();

async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
}
