/** Opens the key that `ca.signer` leads to, wherever it lives. */
import type { Clock } from '#common/clock.ts';
import type { CaSettings } from '../settings.ts';
import { type CaPaths, caPaths, openPassphrase, sealedKey, writeDurably } from './ca-folder.ts';
import { FileSigner } from './file-signer.ts';
import { makeKey } from './key-type.ts';
import { Pkcs11Signer } from './pkcs11-signer.ts';
import type { Signer } from './signer.ts';

/** The issuing key of a CA that exists. Faults `unavailable` with what to do. */
export async function openIssuingKey(dataDir: string, settings: CaSettings, clock: Clock): Promise<Signer> {
  const { signer } = settings;
  switch (signer.type) {
    case 'file': {
      const passphrase = await openPassphrase(dataDir, settings.passphraseFile);
      return FileSigner.open(caPaths(dataDir).issuingKey, passphrase);
    }
    case 'pkcs11':
      return Pkcs11Signer.open(signer, clock);
    // Vault's transit engine is the third: it signs over HTTP, so it needs no more than this interface.
  }
}

/** The issuing key of a CA that is being made: a new one in `paths`, or the one that waits on the token. */
export async function makeIssuingKey(
  dataDir: string,
  paths: CaPaths,
  settings: CaSettings,
  clock: Clock,
): Promise<Signer> {
  if (settings.signer.type !== 'file') return openIssuingKey(dataDir, settings, clock);
  const key = makeKey(settings.keyType);
  const passphrase = await openPassphrase(dataDir, settings.passphraseFile);
  await writeDurably(paths.issuingKey, sealedKey(key, passphrase));
  return new FileSigner(key);
}
