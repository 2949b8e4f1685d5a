/** A factory certificate as a right to enroll: for the one device that it speaks for, where its anchor is for enrollment alone. */
import type { FleetId } from '#common/identity.ts';
import type { AnchorChains } from './anchor-chain.ts';
import { judgeStanding } from './anchor-register.ts';
import type { ChainReader } from './credential.ts';

/** Undefined for chains that are of no anchor, and of anchors whose certificates are operational themselves. */
export const anchorCredential =
  (chains: AnchorChains): ChainReader =>
  async (chain) => {
    if (!chains.concerns(chain)) return undefined;
    const { anchor, device } = await chains.read(chain);
    if (anchor.mode !== 'enroll-only') return undefined;
    return {
      fleet: anchor.fleet as FleetId,
      device,
      source: `anchor:${anchor.id}`,
      actor: `anchor:${anchor.id}`,
      // Good as often as the profile of the fleet has room for certificates of the device.
      spend: (write) => judgeStanding(write, anchor.id),
    };
  };
