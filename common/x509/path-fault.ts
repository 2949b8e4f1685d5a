/** Refused paths as faults: the kinds that doors know, with the exact problem beside them. */
import { Fault, type FaultKind } from '../fault.ts';
import type { PathProblem, Refusal } from './path-problem.ts';

/** Problems with a kind of their own; all others are `untrusted-certificate`. */
const kinds: Partial<Record<PathProblem, FaultKind>> = {
  expired: 'certificate-expired',
  'not-yet-valid': 'certificate-not-yet-valid',
  'leaf-profile': 'leaf-profile',
  'leaf-is-anchor': 'leaf-profile',
  'extended-key-usage': 'leaf-profile',
  'alternative-name': 'leaf-profile',
};

const advice: Partial<Record<FaultKind, string>> = {
  'certificate-expired': 'Enroll the device anew',
  'certificate-not-yet-valid': 'Check the clocks',
  'leaf-profile': 'Take a certificate that was issued for a device',
};

/** The fault of a path that is not trusted; `fields.problem` is its word. */
export function chainProblemFault({ problem, detail }: Refusal): Fault {
  const kind = kinds[problem] ?? 'untrusted-certificate';
  const todo = advice[kind] ?? 'Take a certificate that leads to a trust anchor here';
  return new Fault(kind, `${todo}; this one is refused (${problem}): ${detail}.`, { fields: { problem } });
}
