/**
 * What falls to one of several workers of the limits that are meant for all of them. The system spreads connections over
 * the workers by a hash of addresses and ports, evenly but not exactly: what counts one address or network has a margin.
 * Sessions, retained and stored messages are in one file of all of them: those limits are whole. Pure.
 */
import type { GatewaySettings } from '../settings.ts';

/** By so much a worker may have more than its part. */
const margin = 1.25;

export function shareOf(settings: GatewaySettings, workers: number): GatewaySettings {
  if (workers === 1) return settings;
  const part = (whole: number) => Math.ceil(whole / workers);
  const ofAddress = (whole: number) => Math.min(whole, Math.ceil((whole * margin) / workers));
  const { limits, mqtt, https, spool } = settings;
  return {
    ...settings,
    mqtt: {
      ...mqtt,
      maxRenewals: part(mqtt.maxRenewals),
      maxReplies: part(mqtt.maxReplies),
    },
    https: { ...https, maxEnrollUnderway: part(https.maxEnrollUnderway), maxPolls: part(https.maxPolls) },
    spool: { ...spool, maxSize: part(spool.maxSize) },
    limits: {
      ...limits,
      connections: part(limits.connections),
      connectionsPerAddress: ofAddress(limits.connectionsPerAddress),
      connectionsPerNetwork: ofAddress(limits.connectionsPerNetwork),
      connectRate: part(limits.connectRate),
      connectRatePerAddress: ofAddress(limits.connectRatePerAddress),
      connectRatePerNetwork: ofAddress(limits.connectRatePerNetwork),
      // Shared out among networks and addresses: fewer than four cannot be.
      handshakes: Math.max(4, part(limits.handshakes)),
      handshakeQueue: Math.max(4, part(limits.handshakeQueue)),
      enrollRatePerAddress: ofAddress(limits.enrollRatePerAddress),
      // A device comes in at any of them: what counts its connects counts a part of them, more or less.
      flappingConnects: ofAddress(limits.flappingConnects),
      maxIntroductions: part(limits.maxIntroductions),
      strangersPerAddress: ofAddress(limits.strangersPerAddress),
      journalSize: part(limits.journalSize),
    },
  };
}
