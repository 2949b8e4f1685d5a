/**
 * What a device needs, in files: `ID.key`, `ID.crt` and `ca.crt`. Until it has its certificate the key and the CSR wait
 * beside each other, so that asking again is asking the same.
 */
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '#common/fault.ts';
import { isDeviceId } from '#common/identity.ts';
import { makeCsr } from '#common/x509/csr.ts';

export class DeviceFolder {
  readonly certificatePath: string;
  readonly #id: string;
  readonly #dir: string;
  readonly #keyPath: string;
  readonly #csrPath: string;

  /** Faults `malformed` for what is no device id, and so no name of a file. */
  constructor(dir: string, id: string) {
    if (!isDeviceId(id)) throw new Fault('malformed', `"${id.slice(0, 80)}" is no device id.`);
    this.#dir = dir;
    this.#id = id;
    this.certificatePath = join(dir, `${id}.crt`);
    this.#keyPath = join(dir, `${id}.key`);
    this.#csrPath = join(dir, `${id}.csr`);
  }

  /** The CSR that waits here, or a new one of a new key. PEM. */
  async request(): Promise<string> {
    if (existsSync(this.#csrPath) && existsSync(this.#keyPath)) return readFileSync(this.#csrPath, 'utf8');
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const csr = await makeCsr(privateKey, this.#id);
    // The key is on disk before there is a certificate for it.
    writeFileSync(this.#keyPath, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    writeWhole(this.#csrPath, csr);
    return csr;
  }

  keep({ certificate, chain, ca }: { certificate: string; chain: string; ca: string }): void {
    writeWhole(join(this.#dir, 'ca.crt'), ca);
    writeWhole(this.certificatePath, certificate + chain);
    this.forget();
  }

  /** The next request is another one, of another key. */
  forget(): void {
    rmSync(this.#csrPath, { force: true });
  }
}

/** There, or not: never half of it. */
function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}
