/**
 * The folder of the CA: made whole on the first start or not at all. The root's key is kept in a file of its own that
 * nothing opens afterwards; the issuing key is opened once, by IssuingCa. Keys are encrypted PKCS #8, files 0600.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { CaSettings } from '../settings.ts';
import { makeIssuingCertificate, makeRootCertificate } from './ca-certificates.ts';

export interface CaKeys {
  /** PEM. */
  readonly root: string;
  /** PEM. */
  readonly issuing: string;
  readonly issuingKey: KeyObject;
}

const names = { root: 'root.crt', rootKey: 'root.key', issuing: 'issuing.crt', issuingKey: 'issuing.key' };
/** PBKDF2 inside OpenSSL's PKCS #8 writer; AES-256 in CBC mode is the strongest it offers there. */
const cipher = 'aes-256-cbc';

/**
 * Opens the CA in `<dataDir>/ca`, making it when there is none. Faults `unavailable` when it cannot be read with the
 * passphrase at hand.
 */
export async function openCaKeys(dataDir: string, settings: CaSettings, clock: Clock): Promise<CaKeys> {
  const dir = join(dataDir, 'ca');
  const passphrase = await openPassphrase(dataDir, settings.passphraseFile);
  if (!existsSync(dir)) await makeCa(dir, passphrase, settings, clock);
  try {
    return {
      root: await readFile(join(dir, names.root), 'utf8'),
      issuing: await readFile(join(dir, names.issuing), 'utf8'),
      issuingKey: createPrivateKey({ key: await readFile(join(dir, names.issuingKey), 'utf8'), passphrase }),
    };
  } catch (cause) {
    throw new Fault(
      'unavailable',
      `The CA in ${dir} cannot be opened; is ca.passphraseFile the one it was made with?`,
      {
        cause,
      },
    );
  }
}

async function openPassphrase(dataDir: string, file: string | undefined): Promise<string> {
  if (file) return (await readFile(file, 'utf8')).trim();
  const path = join(dataDir, 'ca.passphrase');
  if (!existsSync(path)) await writeDurably(path, `${randomBytes(32).toString('base64url')}\n`);
  return (await readFile(path, 'utf8')).trim();
}

/** Into a folder beside, then renamed: a crash leaves no CA, never half of one. */
async function makeCa(dir: string, passphrase: string, settings: CaSettings, clock: Clock): Promise<void> {
  const making = `${dir}.new`;
  await rm(making, { recursive: true, force: true });
  await mkdir(making, { mode: 0o700 });
  const rootKey = makeKey(settings.keyType);
  const issuingKey = makeKey(settings.keyType);
  const root = await makeRootCertificate(rootKey, settings, clock.now());
  const issuing = await makeIssuingCertificate(
    createPublicKey(issuingKey),
    { key: rootKey, certificate: root },
    settings,
    clock.now(),
  );
  const sealed = (key: KeyObject) =>
    key.export({ type: 'pkcs8', format: 'pem', cipher, passphrase }).toString();
  await writeDurably(join(making, names.rootKey), sealed(rootKey));
  await writeDurably(join(making, names.issuingKey), sealed(issuingKey));
  await writeDurably(join(making, names.root), root);
  await writeDurably(join(making, names.issuing), issuing);
  await writeDurably(join(making, 'ca.crt'), root + issuing);
  await rename(making, dir);
}

function makeKey(type: CaSettings['keyType']): KeyObject {
  switch (type) {
    case 'P-256':
    case 'P-384':
      return generateKeyPairSync('ec', { namedCurve: type }).privateKey;
    case 'Ed25519':
      return generateKeyPairSync('ed25519').privateKey;
    case 'RSA-2048':
      return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    case 'RSA-3072':
      return generateKeyPairSync('rsa', { modulusLength: 3072 }).privateKey;
  }
}

/** Writes a file 0600 that is on disk when this resolves. */
export async function writeDurably(path: string, text: string): Promise<void> {
  await writeFile(path, text, { mode: 0o600, flush: true });
  await chmod(path, 0o600);
  const folder = await open(join(path, '..'));
  await folder.sync();
  await folder.close();
}
