/** The targets that need nothing but this process. */
import { brokenCertificates, noiseAsDer } from './certificates.ts';
import { brokenFrames, sameFrames } from './frames.ts';
import { brokenConnects, brokenPackets, noisyPackets } from './packets.ts';
import { answersWritten, connectsRead, publishesWritten, subscribesRead } from './round-trip.ts';
import type { FuzzTarget } from './target.ts';

export const aloneTargets: readonly FuzzTarget[] = [
  sameFrames,
  brokenFrames,
  noisyPackets,
  brokenPackets,
  brokenConnects,
  connectsRead,
  subscribesRead,
  answersWritten,
  publishesWritten,
  brokenCertificates,
  noiseAsDer,
];
