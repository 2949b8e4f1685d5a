/**
 * The keys of the issuing CAs in the folder of the CA: `<id>.key`, certified by the root when its key is here, else
 * requested from elsewhere (`<id>.json` until the certificate is there). What counts is in the registry's tables; what a
 * crash left beside them is set aside, never deleted.
 */
import { type KeyObject, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import type { IssuerState } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import { certificatePem, pem } from '#common/x509/pem.ts';
import type { CaSettings } from '../settings.ts';
import { makeIssuingCertificate, makeIssuingName } from './ca-certificates.ts';
import {
  type CaPaths,
  caPaths,
  openPassphrase,
  replaceDurably,
  sealedKey,
  writeDurably,
} from './ca-folder.ts';
import { type CaKeys, openCaKeys } from './ca-keys.ts';
import { makeCaRequest } from './certificate-request.ts';
import { FileSigner } from './file-signer.ts';
import { acceptIssuing } from './judge-issuing.ts';
import { type CaKeyType, makeKey } from './key-type.ts';
import { Pkcs11Signer } from './pkcs11-signer.ts';
import type { Signer } from './signer.ts';

/** Where a key is: module, token and PIN of a token are those of `ca.signer`, which no caller of the API may choose. */
export type KeyPlace = { readonly type: 'file' } | { readonly type: 'pkcs11'; readonly keyLabel: string };

/** A key that waits for its certificate. */
export interface PendingIssuer {
  readonly id: string;
  readonly name: string;
  readonly key: KeyPlace;
  /** PKCS #10, PEM. */
  readonly csr: string;
  readonly createdMs: number;
}

/** Files of issuers beside the first, whose own are named by ca-folder.ts. */
const laterFile = /^(issuing-\d+)\.(key|json)(\.removed)?$/;

export class IssuerKeys {
  readonly #dataDir: string;
  readonly #settings: CaSettings;
  readonly #clock: Clock;
  readonly #paths: CaPaths;

  constructor(dataDir: string, settings: CaSettings, clock: Clock) {
    this.#dataDir = dataDir;
    this.#settings = settings;
    this.#clock = clock;
    this.#paths = caPaths(dataDir);
  }

  /** The first CA, made when there is none. Faults `unavailable` as `openCaKeys` does. */
  openFirst(): Promise<CaKeys> {
    return openCaKeys(this.#dataDir, this.#settings, this.#clock);
  }

  /** PEM. Faults `unavailable`. */
  async root(): Promise<string> {
    try {
      return await readFile(this.#paths.root, 'utf8');
    } catch (cause) {
      throw new Fault('unavailable', `${this.#paths.root} cannot be read; restore the folder of the CA.`, {
        cause,
      });
    }
  }

  /** The key of an issuer beside the first. Faults `unavailable` when it cannot be opened. */
  async open(id: string, place: KeyPlace): Promise<Signer> {
    if (place.type === 'file') return FileSigner.open(this.#file(id, 'key'), await this.#passphrase());
    const { signer } = this.#settings;
    if (signer.type === 'pkcs11')
      return Pkcs11Signer.open({ ...signer, keyLabel: place.keyLabel }, this.#clock);
    throw new Fault('unavailable', `The key of ${id} is in a token, and ca.signer names none.`);
  }

  /** Makes a key, on disk when this resolves; one in a token is there already. */
  async make(id: string, place: KeyPlace, keyType: CaKeyType = this.#settings.keyType): Promise<Signer> {
    if (place.type === 'pkcs11') return this.open(id, place);
    const key = makeKey(keyType);
    await writeDurably(this.#file(id, 'key'), sealedKey(key, await this.#passphrase()));
    return new FileSigner(key);
  }

  /** Where a new key belongs when nobody says: a file, unless the keys of this CA are in a token. Faults `malformed`. */
  defaultPlace(): KeyPlace {
    if (this.#settings.signer.type === 'file') return { type: 'file' };
    throw new Fault(
      'malformed',
      'The keys of this CA are in a token: make a pair on it and name its label, or ask for a file.',
    );
  }

  /** The certificate that the root gives to a key, PEM; undefined when the root's key is not here. */
  async certify(publicKey: KeyObject): Promise<string | undefined> {
    if (!existsSync(this.#paths.rootKey)) return undefined;
    const root = { signer: await this.#rootSigner(), certificate: await this.root() };
    try {
      const made = await makeIssuingCertificate(publicKey, root, this.#settings, this.#clock.now());
      return await this.accept(new X509Certificate(made), publicKey);
    } finally {
      await root.signer.close();
    }
  }

  /** PEM of a certificate that can be that of an issuing CA with this key. Faults `malformed` with every objection. */
  async accept(issuing: X509Certificate, publicKey: KeyObject): Promise<string> {
    const root = new X509Certificate(await this.root());
    acceptIssuing({ issuing, root, publicKey, nowMs: this.#clock.now() });
    return certificatePem(issuing.raw);
  }

  /** Writes a request down: from now on the key waits for its certificate. */
  async request(issuer: Omit<PendingIssuer, 'csr' | 'createdMs'>, signer: Signer): Promise<PendingIssuer> {
    const csr = pem('CERTIFICATE REQUEST', await makeCaRequest(makeIssuingName(), signer));
    const pending = { ...issuer, csr, createdMs: this.#clock.now() };
    await replaceDurably(this.#file(issuer.id, 'json'), JSON.stringify(pending));
    return pending;
  }

  /** Those that wait for their certificates. */
  async pending(): Promise<PendingIssuer[]> {
    const waiting = (await this.#laterFiles()).filter(([, kind, removed]) => kind === 'json' && !removed);
    return Promise.all(
      waiting.map(async ([id]) => JSON.parse(await readFile(this.#file(id, 'json'), 'utf8'))),
    );
  }

  /** Its certificate is recorded: it waits no longer. */
  forgetRequest(id: string): Promise<void> {
    return rm(this.#file(id, 'json'), { force: true });
  }

  /** Ids that have ever had a file here: none is given twice. */
  async ids(): Promise<string[]> {
    return (await this.#laterFiles()).map(([id]) => id);
  }

  /** The key of one that is trusted no longer, or came to nothing, is kept under another name. */
  async setAside(id: string): Promise<void> {
    for (const kind of ['json', 'key'] as const) {
      const file = this.#file(id, kind);
      if (existsSync(file)) await rename(file, `${file}.removed`);
    }
  }

  /** Brings the folder in line with the tables after a crash. Gives the ids of those that were set aside. */
  async settle(states: ReadonlyMap<string, IssuerState>): Promise<string[]> {
    const left = (await this.#laterFiles()).filter(([, , removed]) => !removed);
    const waiting = new Set(left.flatMap(([id, kind]) => (kind === 'json' ? [id] : [])));
    const aside = new Set<string>();
    for (const [id, state] of states) {
      if (state !== 'removed') await this.forgetRequest(id);
      else if (existsSync(this.#file(id, 'key'))) aside.add(id);
    }
    for (const [id] of left) if (!states.has(id) && !waiting.has(id)) aside.add(id);
    for (const id of aside) await this.setAside(id);
    return [...aside];
  }

  /** Writes the bundle that others trust. */
  async publish(bundle: string): Promise<void> {
    const written = await readFile(this.#paths.bundle, 'utf8').catch(() => '');
    if (written !== bundle) await replaceDurably(this.#paths.bundle, bundle);
  }

  #file(id: string, kind: 'key' | 'json'): string {
    return join(this.#paths.dir, `${id}.${kind}`);
  }

  async #laterFiles(): Promise<[id: string, kind: string, removed: boolean][]> {
    const names = await readdir(this.#paths.dir);
    return names.flatMap((name) => {
      const [, id, kind, removed] = laterFile.exec(name) ?? [];
      return id === undefined || kind === undefined ? [] : [[id, kind, removed !== undefined]];
    });
  }

  async #rootSigner(): Promise<Signer> {
    return FileSigner.open(this.#paths.rootKey, await this.#passphrase());
  }

  #passphrase(): Promise<string> {
    return openPassphrase(this.#dataDir, this.#settings.passphraseFile);
  }
}
