/** Who may come in: a list of named checks, each a pure function of what is known. The first that fails decides. */
import { timestamp } from '#common/clock.ts';
import type { DecisionCheck } from '#common/contract/decision.ts';
import type { DirectoryEntry, FleetTerms, IssuerEntry } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import type { Peer } from '../door/peer.ts';
import type { Finding } from './finding.ts';

/** Everything that admission depends on. */
export interface Arrival {
  readonly peer: Peer;
  readonly entry: DirectoryEntry | undefined;
  /** What was found out about a certificate that the directory did not know; undefined when it did. */
  readonly finding: Finding | undefined;
  /** Of the entry: who issued it, and the terms of its fleet. */
  readonly issuer: IssuerEntry | undefined;
  readonly terms: FleetTerms | undefined;
  /** Null for HTTPS, which has none. */
  readonly clientId: string | null;
  readonly severalSessions: boolean;
  readonly lagMs: number;
  readonly maxLagMs: number;
  readonly nowMs: number;
}

interface Check {
  readonly name: string;
  /** What was seen, for the journal. */
  see(arrival: Arrival): string;
  /** The refusal, or null. */
  judge(arrival: Arrival): Fault | null;
}

/**
 * Checks that need a directory entry come after `known`, and are asked only when there is one. A certificate that has one
 * is, byte for byte, one that the registry has issued or accepted: its chain was validated then.
 */
const checks: readonly Check[] = [
  {
    name: 'certificate shown',
    see: ({ peer }) => peer.fingerprint ?? 'none',
    judge: ({ peer }) =>
      peer.fingerprint
        ? null
        : new Fault('no-certificate', 'Connect with the client certificate of the device; none was shown.'),
  },
  {
    name: 'chain trusted',
    see: ({ entry, finding }) =>
      entry ? `recorded, of ${entry.issuer}` : (finding?.path ?? 'not looked at'),
    judge: ({ entry, finding }) => (entry ? null : (finding?.pathFault ?? null)),
  },
  {
    name: 'directory fresh',
    see: ({ lagMs }) => `${Math.round(lagMs / 1000)} s behind`,
    judge: ({ lagMs, maxLagMs }) =>
      lagMs <= maxLagMs
        ? null
        : new Fault(
            'directory-stale',
            'The gateway has not heard from its registry for too long; try again later.',
          ),
  },
  {
    name: 'known',
    see: ({ entry, finding }) =>
      entry ? `${entry.fleet}/${entry.device}` : (finding?.introduction ?? 'not in the directory'),
    judge: ({ entry, finding }) =>
      entry
        ? null
        : (finding?.fault ??
          new Fault(
            'unknown-certificate',
            'The registry does not know this certificate; enroll the device.',
          )),
  },
];

interface EntryCheck {
  readonly name: string;
  see(entry: DirectoryEntry, arrival: Arrival): string;
  judge(entry: DirectoryEntry, arrival: Arrival): Fault | null;
}

const entryChecks: readonly EntryCheck[] = [
  {
    name: 'issuer trusted',
    see: ({ issuer }, { issuer: known }) => `${issuer} is ${known?.state ?? 'not known'}`,
    judge: (_entry, { issuer }) =>
      issuer && issuer.state !== 'removed'
        ? null
        : new Fault(
            'issuer-not-trusted',
            'The issuer of this certificate is not trusted; enroll the device anew.',
          ),
  },
  {
    name: 'not revoked',
    see: ({ certificateState }) => certificateState,
    judge: ({ certificateState }) => {
      if (certificateState === 'issued') return null;
      if (certificateState === 'held')
        return new Fault('certificate-held', 'This certificate is on hold; ask the operator of the device.');
      return new Fault('certificate-revoked', 'This certificate was revoked; enroll the device anew.');
    },
  },
  {
    name: 'revocation known',
    see: (entry, arrival) => {
      const untilMs = statusUntilMs(entry, arrival);
      return Number.isFinite(untilMs) ? `until ${timestamp(untilMs)}` : 'by the registry itself';
    },
    judge: (entry, arrival) =>
      arrival.nowMs <= statusUntilMs(entry, arrival)
        ? null
        : new Fault(
            'revocation-unknown',
            'Whether this certificate was revoked by its issuer is not known at the moment; try again.',
          ),
  },
  {
    name: 'valid now',
    see: ({ notBeforeMs, notAfterMs }, arrival) =>
      `${timestamp(notBeforeMs)} to ${timestamp(notAfterMs)}${scopeOf(arrival) === 'renewal' ? ', for renewal alone' : ''}`,
    judge: ({ notBeforeMs, notAfterMs }, { nowMs, terms }) => {
      if (nowMs > notAfterMs + (terms?.graceMs ?? 0))
        return new Fault('certificate-expired', 'This certificate has expired; enroll the device anew.');
      if (nowMs < notBeforeMs - (terms?.skewMs ?? 0))
        return new Fault('certificate-not-yet-valid', 'This certificate is not valid yet; check the clocks.');
      return null;
    },
  },
  {
    name: 'device active',
    see: ({ deviceState }) => deviceState,
    judge: ({ deviceState }) => {
      if (deviceState === 'active') return null;
      if (deviceState === 'pending')
        return new Fault('device-pending', 'This device waits for an operator to let it in; try again.');
      if (deviceState === 'disabled')
        return new Fault('device-disabled', 'This device is disabled; ask its operator.');
      if (deviceState === 'quarantined')
        return new Fault(
          'quarantined',
          'The certificate of this device seems to be used by two; its operator has to look at it.',
        );
      return new Fault('device-revoked', 'This device was taken out of service.');
    },
  },
  {
    name: 'client id bound',
    see: (_entry, { clientId }) => clientId ?? 'none needed',
    judge: (entry, { clientId, severalSessions }) =>
      clientId === null || isBound(clientId, entry.device, severalSessions)
        ? null
        : new Fault(
            'client-id-mismatch',
            `The client id of this device is ${entry.device}${severalSessions ? ', / or : and a suffix' : ''}.`,
          ),
  },
];

/** What an admitted arrival is good for: everything its role grants, or renewing its certificate and nothing else. */
export type Scope = 'whole' | 'renewal';

/** Of one that is admitted: outside its validity, within the grace and skew of its fleet, it is good for renewal. */
export function scopeOf({ entry, nowMs }: Arrival): Scope {
  const inTime = !entry || (nowMs >= entry.notBeforeMs && nowMs <= entry.notAfterMs);
  return inTime ? 'whole' : 'renewal';
}

function statusUntilMs({ statusUntilMs: own }: DirectoryEntry, { issuer }: Arrival): number {
  const never = Number.POSITIVE_INFINITY;
  return Math.min(own ?? never, issuer?.statusUntilMs ?? never);
}

export interface Outcome {
  readonly fault: Fault | null;
  readonly checks: readonly DecisionCheck[];
}

/** Runs the checks in order up to the first that fails. */
export function admit(arrival: Arrival): Outcome {
  const done: DecisionCheck[] = [];
  for (const { name, see, judge } of checks) {
    const fault = judge(arrival);
    done.push({ name, passed: !fault, detail: see(arrival) });
    if (fault) return { fault, checks: done };
  }
  for (const { name, see, judge } of entryChecks) {
    const fault = judge(arrival.entry!, arrival);
    done.push({ name, passed: !fault, detail: see(arrival.entry!, arrival) });
    if (fault) return { fault, checks: done };
  }
  return { fault: null, checks: done };
}

/** The refusal alone, without a record: for the many that are admitted, and to judge anew during a session. */
export function refusalOf(arrival: Arrival): Fault | null {
  for (const { judge } of checks) {
    const fault = judge(arrival);
    if (fault) return fault;
  }
  for (const { judge } of entryChecks) {
    const fault = judge(arrival.entry!, arrival);
    if (fault) return fault;
  }
  return null;
}

/** The client id is the device id; with a suffix after `/` or `:` when its role allows several sessions. */
function isBound(clientId: string, device: string, severalSessions: boolean): boolean {
  if (clientId === device) return true;
  const separator = clientId[device.length];
  return (
    severalSessions &&
    clientId.startsWith(device) &&
    (separator === '/' || separator === ':') &&
    clientId.length > device.length + 1
  );
}
