/** A key of the CA in a PKCS #11 token. */
import type { KeyObject } from 'node:crypto';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { Pkcs11Settings } from '../settings.ts';
import type { SignatureAlgorithm, Signer } from './signer.ts';

export class Pkcs11Signer implements Signer {
  declare readonly publicKey: KeyObject;
  declare readonly algorithm: SignatureAlgorithm;

  static async open(_settings: Pkcs11Settings, _clock: Clock): Promise<Pkcs11Signer> {
    throw new Fault('unavailable', 'Not yet.');
  }

  async sign(_data: Buffer): Promise<Buffer> {
    throw new Fault('unavailable', 'Not yet.');
  }

  async close(): Promise<void> {}
}
