/**
 * Opens the CA of a data folder: made whole on the first start or not at all. The root's key is kept in a file of its own
 * that is opened for further issuing CAs alone; the issuing key is behind a Signer, which whoever opened it closes.
 */
import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { CaSettings } from '../settings.ts';
import { makeIssuingCertificate, makeRootCertificate } from './ca-certificates.ts';
import { caPaths, makeFolder, openPassphrase, sealedKey, writeDurably } from './ca-folder.ts';
import { FileSigner } from './file-signer.ts';
import { makeKey } from './key-type.ts';
import { makeIssuingKey, openIssuingKey } from './open-signer.ts';
import type { Signer } from './signer.ts';

export { writeDurably } from './ca-folder.ts';

export interface CaKeys {
  /** PEM. */
  readonly root: string;
  /** PEM. */
  readonly issuing: string;
  /** Of the issuing key. */
  readonly signer: Signer;
}

/**
 * Opens the CA in `<dataDir>/ca`, making it when there is none. Faults `unavailable` when its key cannot be opened, when
 * it is not the key of the certificate, and when there is no certificate yet because the root is elsewhere.
 */
export async function openCaKeys(dataDir: string, settings: CaSettings, clock: Clock): Promise<CaKeys> {
  const paths = caPaths(dataDir);
  if (!existsSync(paths.dir)) await makeCa(dataDir, settings, clock);
  if (!existsSync(paths.issuing)) {
    throw new Fault(
      'unavailable',
      `The issuing CA has no certificate yet. Have ${paths.request} signed by your root, then run: fleetgate ca import issuing.crt --root root.crt --data ${dataDir}`,
    );
  }
  const root = await readFile(paths.root, 'utf8');
  const issuing = await readFile(paths.issuing, 'utf8');
  const signer = await openIssuingKey(dataDir, settings, clock);
  if (new X509Certificate(issuing).publicKey.equals(signer.publicKey)) return { root, issuing, signer };
  await signer.close();
  throw new Fault(
    'unavailable',
    `The CA key that ca.signer leads to is not the one of ${paths.issuing}; point ca.signer at that key, or use the data folder that belongs to this one.`,
  );
}

/** A root and an issuing CA under it. Faults `conflict` when there is a CA. */
export function makeCa(dataDir: string, settings: CaSettings, clock: Clock): Promise<void> {
  return makeFolder(dataDir, async (making) => {
    const passphrase = await openPassphrase(dataDir, settings.passphraseFile);
    const rootKey = makeKey(settings.keyType);
    const rootSigner = new FileSigner(rootKey);
    const issuingSigner = await makeIssuingKey(dataDir, making, settings, clock);
    try {
      const root = await makeRootCertificate(rootSigner, settings, clock.now());
      const signed = { signer: rootSigner, certificate: root };
      const issuing = await makeIssuingCertificate(issuingSigner.publicKey, signed, settings, clock.now());
      await writeDurably(making.rootKey, sealedKey(rootKey, passphrase));
      await writeDurably(making.root, root);
      await writeDurably(making.issuing, issuing);
      await writeDurably(making.bundle, root + issuing);
    } finally {
      await issuingSigner.close();
    }
  });
}
