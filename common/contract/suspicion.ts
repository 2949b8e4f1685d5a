/** A device that seems to be two: what a gateway has seen of it, and what the registry keeps. */
import type { DeviceId } from '../identity.ts';

/** `takeovers`: two networks end each other's sessions; `sequence`: a number that only grows has gone back elsewhere. */
export const suspicionReasons = ['takeovers', 'sequence'] as const;
export type SuspicionReason = (typeof suspicionReasons)[number];

/** Where it was, as far as it is remembered: address and port, and when (RFC 3339). */
export interface SuspectPlace {
  readonly address: string;
  readonly at: string;
}

export interface Suspect {
  readonly device: DeviceId;
  readonly reason: SuspicionReason;
  readonly score: number;
  readonly places: readonly SuspectPlace[];
  /** Whether the device is to be kept out until an operator has looked. */
  readonly quarantine: boolean;
}

export interface Suspicion extends Omit<Suspect, 'device' | 'quarantine'> {
  /** When it was first seen since an operator last looked, and when last. */
  readonly since: string;
  readonly at: string;
  readonly gateway: string;
}

/** Places of one report. */
export const mostPlaces = 16;
