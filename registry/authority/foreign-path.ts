/**
 * A certificate of a foreign CA and those above it, as they are recorded and as revocation speaks of them: each by who
 * has issued it and by its serial number. CAs below one anchor count their own numbers, so a number alone says little.
 */
import { hash } from 'node:crypto';
import type { Certificate } from '#common/x509/certificate.ts';

export interface Step {
  /** The beginning of the issuer's key hash; empty for the anchor itself. */
  readonly by: string;
  /** Lower-case hex. */
  readonly serial: string;
}

/** 64 bits: CAs of one anchor are told apart, not proved. */
const tagLength = 16;

export const keyTag = ({ spki }: Certificate): string => hash('sha256', spki, 'hex').slice(0, tagLength);

/** The steps of a path, leaf first. `path` is leaf, intermediates, anchor. */
export function stepsOf(path: readonly Certificate[]): Step[] {
  return path.slice(0, -1).map(({ serialNumber }, at) => ({
    by: at === path.length - 2 ? '' : keyTag(path[at + 1]!),
    serial: serialNumber,
  }));
}

/** How a step is written as the serial number of a recorded certificate: `0a`, or `0a@3f2c9a17…` below an intermediate. */
export const recordedSerial = ({ by, serial }: Step): string => (by === '' ? serial : `${serial}@${by}`);

/** The `plan` of a recorded certificate: nothing was planned here, but its steps are needed again with every CRL. */
export const planOf = (steps: readonly Step[]): string => JSON.stringify({ steps });
export const stepsOfPlan = (plan: string): Step[] => (JSON.parse(plan) as { steps: Step[] }).steps;
