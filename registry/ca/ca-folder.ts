/** The folder of the CA: what lies where, and how it is written: encrypted where it is a key, 0600, durable. */
import { type KeyObject, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Fault } from '#common/fault.ts';

/** PBKDF2 inside OpenSSL's PKCS #8 writer; AES-256 in CBC mode is the strongest it offers there. */
const cipher = 'aes-256-cbc';

export interface CaPaths {
  readonly dir: string;
  readonly root: string;
  readonly rootKey: string;
  readonly issuing: string;
  readonly issuingKey: string;
  /** The request for an issuing certificate whose root is elsewhere. */
  readonly request: string;
  /** Root and issuing certificate: what others trust. */
  readonly bundle: string;
}

export const caPaths = (dataDir: string): CaPaths => pathsIn(join(dataDir, 'ca'));

const pathsIn = (dir: string): CaPaths => ({
  dir,
  root: join(dir, 'root.crt'),
  rootKey: join(dir, 'root.key'),
  issuing: join(dir, 'issuing.crt'),
  issuingKey: join(dir, 'issuing.key'),
  request: join(dir, 'issuing.csr'),
  bundle: join(dir, 'ca.crt'),
});

/** Makes the folder whole or not at all: `fill` writes into one beside, which is then renamed. Faults `conflict`. */
export async function makeFolder(dataDir: string, fill: (paths: CaPaths) => Promise<void>): Promise<void> {
  const { dir } = caPaths(dataDir);
  if (existsSync(dir)) {
    throw new Fault(
      'conflict',
      `There is a CA in ${dir} already. It is never overwritten: name another --data.`,
    );
  }
  const making = `${dir}.new`;
  await rm(making, { recursive: true, force: true });
  await mkdir(making, { mode: 0o700, recursive: true });
  await fill(pathsIn(making));
  await rename(making, dir);
  await syncFolder(dataDir);
}

/** The passphrase of the keys: from the file that the settings name, else from the data folder, made there when absent. */
export async function openPassphrase(dataDir: string, file: string | undefined): Promise<string> {
  const path = file ?? join(dataDir, 'ca.passphrase');
  if (file === undefined && !existsSync(path))
    await writeDurably(path, `${randomBytes(32).toString('base64url')}\n`);
  const passphrase = (await readSecret(path, 'ca.passphraseFile')).trim();
  // OpenSSL takes an empty passphrase for none, or refuses it with words about something else.
  if (passphrase === '') throw new Fault('unavailable', `The passphrase file ${path} is empty.`);
  return passphrase;
}

/** A file that a setting names. Faults `unavailable` with the name of the setting. */
export async function readSecret(path: string, setting: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new Fault('unavailable', `${path} cannot be read; ${setting} names it.`, { cause });
  }
}

export const sealedKey = (key: KeyObject, passphrase: string): string =>
  key.export({ type: 'pkcs8', format: 'pem', cipher, passphrase }).toString();

/** Writes a file 0600 that is on disk when this resolves. */
export async function writeDurably(path: string, text: string): Promise<void> {
  await writeFile(path, text, { mode: 0o600, flush: true });
  await chmod(path, 0o600);
  await syncFolder(dirname(path));
}

/** The same for a file that others may be reading: whole, old or new, at every moment. */
export async function replaceDurably(path: string, text: string): Promise<void> {
  await writeDurably(`${path}.new`, text);
  await rename(`${path}.new`, path);
  await syncFolder(dirname(path));
}

async function syncFolder(dir: string): Promise<void> {
  await using folder = await open(dir);
  await folder.sync();
}
