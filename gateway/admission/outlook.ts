/** What would come of a device if it came in now: the checks of admission over each certificate that the directory has of it. */
import { type Clock, timestamp } from '#common/clock.ts';
import type { Outlook } from '#common/contract/decision.ts';
import type { Directory, DirectoryEntry } from '#common/contract/directory.ts';
import { isDeviceId } from '#common/identity.ts';
import { admit } from './admit.ts';

export interface OutlookParts {
  readonly gateway: string;
  readonly directory: Directory;
  readonly maxLagMs: number;
  readonly clock: Clock;
}

/** A certificate that is replaced leaves the directory; so many at most are told of. */
const mostCertificates = 20;

/** Newest certificate first; empty when the directory has none of the device. */
export function outlookOf(device: string, parts: OutlookParts): Outlook[] {
  if (!isDeviceId(device)) return [];
  return parts.directory
    .ofDevice(device)
    .sort((a, b) => b.notBeforeMs - a.notBeforeMs)
    .slice(0, mostCertificates)
    .map((entry) => outlook(entry, parts));
}

function outlook(entry: DirectoryEntry, { gateway, directory, maxLagMs, clock }: OutlookParts): Outlook {
  const { fault, checks } = admit({
    peer: { address: '', fingerprint: entry.fingerprint, resumed: false, tlsVersion: 'TLSv1.3' },
    entry,
    finding: undefined,
    issuer: directory.issuer(entry.issuer),
    terms: directory.fleet(entry.fleet),
    clientId: entry.device,
    severalSessions: directory.role(entry.role)?.severalSessions ?? false,
    lagMs: directory.lagMs(),
    maxLagMs,
    nowMs: clock.now(),
  });
  return {
    gateway,
    fingerprint: entry.fingerprint,
    serialNumber: entry.serialNumber,
    notAfter: timestamp(entry.notAfterMs),
    admitted: fault === null,
    reason: fault?.kind ?? null,
    message: fault?.message ?? null,
    checks,
  };
}
