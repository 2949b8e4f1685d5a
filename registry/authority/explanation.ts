/** Why a device was let in or refused, in one sentence and with what to do: out of what the gateways remember and foresee. */
import type { Decision, Outlook } from '#common/contract/decision.ts';
import type { DeviceState } from '#common/contract/directory.ts';
import type { FaultKind } from '#common/fault.ts';
import { adviceOn } from './advice.ts';

export interface Registered {
  readonly fleet: string;
  readonly state: DeviceState;
}

export interface Explanation {
  readonly verdict: string;
  /** For the operator; null when there is nothing to do. */
  readonly advice: string | null;
}

/** Refusals for what the directory says of a device and its certificate: over, when it says otherwise. */
const standing: ReadonlySet<FaultKind> = new Set([
  'unknown-certificate',
  'issuer-not-trusted',
  'certificate-revoked',
  'certificate-held',
  'revocation-unknown',
  'certificate-expired',
  'certificate-not-yet-valid',
  'device-pending',
  'device-disabled',
  'device-revoked',
  'directory-stale',
]);

/** Of a device. `decisions` newest first, those included whose client id claims to be it; `outlook` of every gateway. */
export function explainDevice(
  id: string,
  registered: Registered | null,
  decisions: readonly Decision[],
  outlook: readonly Outlook[],
): Explanation {
  const proven = decisions.find(({ device }) => device === id);
  const claimed = decisions.find(({ device }) => device !== id);
  const now = prospect(id, registered, outlook);
  const seen = proven ?? claimed;
  if (!seen) {
    const known = registered
      ? `${id} of fleet ${registered.fleet} is ${registered.state}, and no gateway remembers it at its door.`
      : `${id} is not registered, and no gateway remembers it at its door.`;
    return { verdict: `${known} ${now.verdict}`.trim(), advice: now.advice };
  }
  const who = proven ? id : `Somebody without a certificate that is known as ${id}`;
  const told = `${who} ${happened(seen)}`;
  if (seen.admitted && now.admitted) return { verdict: told, advice: null };
  // How it came is nothing that its certificate could foresee: a wrong client id stays wrong.
  const isOver = now.admitted && proven !== undefined && seen.reason !== null && standing.has(seen.reason);
  if (now.admitted && !isOver) return { verdict: told, advice: adviceOn(seen.reason, id) };
  const advice = isOver ? null : (adviceOn(seen.reason, id) ?? now.advice);
  return { verdict: `${told} ${now.verdict}`.trim(), advice };
}

/** Of whatever was asked for. */
export function explainDecisions(decisions: readonly Decision[]): Explanation {
  const [last] = decisions;
  if (!last)
    return {
      verdict: 'No gateway remembers anything like that at its door.',
      advice: 'Ask with fewer filters; the journal of a gateway begins anew when it starts.',
    };
  const who =
    last.device ?? (last.count > 1 ? `${last.count} connections` : 'A peer that is no known device');
  return { verdict: `${who} ${happened(last)}`, advice: adviceOn(last.reason, last.device) };
}

function happened({ time, protocol, address, gateway, admitted, message, reason }: Decision): string {
  const where = `at ${time}, ${protocol} from ${address} on ${gateway}`;
  return admitted ? `was admitted ${where}.` : `was refused ${where}: ${message ?? reason}`;
}

function prospect(
  id: string,
  registered: Registered | null,
  outlook: readonly Outlook[],
): Explanation & { admitted: boolean } {
  if (!registered) {
    const advice = `Make a token and enroll it: \`fleetgate tokens create\`, \`fleetgate enroll --device ${id} --token …\`.`;
    return { admitted: false, verdict: '', advice };
  }
  const [best] = [...outlook].sort((a, b) => Number(b.admitted) - Number(a.admitted));
  if (!best) {
    const advice = `Enroll it: \`fleetgate tokens create\`, \`fleetgate enroll --device ${id} --token …\`.`;
    return { admitted: false, verdict: 'It has no certificate that a gateway knows.', advice };
  }
  if (best.admitted)
    return {
      admitted: true,
      verdict: `Its certificate ${best.serialNumber} would be admitted now, until ${best.notAfter}.`,
      advice: null,
    };
  const verdict = `It would be refused now: ${best.message ?? best.reason}`;
  return { admitted: false, verdict, advice: adviceOn(best.reason, id) };
}
