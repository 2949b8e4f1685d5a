/** An entry of the journal in words: the checks are run again over what was known then, and certificates are read. */
import { timestamp } from '#common/clock.ts';
import type { Decision, DecisionCheck } from '#common/contract/decision.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import { wordsOfFailure } from '../door/handshake-failure.ts';
import { admit } from './admit.ts';
import type { ArrivalEntry, FailureEntry, JournalEntry, TurnedAwayEntry } from './journal-entry.ts';
import { leafFacts } from './leaf-facts.ts';

export function decisionOf(entry: JournalEntry, gateway: string): Decision {
  switch (entry.what) {
    case 'arrival':
      return arrived(entry, gateway);
    case 'failure':
      return failed(entry, gateway);
    case 'turned-away':
      return turnedAway(entry, gateway);
  }
}

function arrived(entry: ArrivalEntry, gateway: string): Decision {
  const { timeMs, protocol, arrival, reason, beyond, leaf } = entry;
  const outcome = admit(arrival);
  const checks: DecisionCheck[] = [...outcome.checks];
  if (beyond !== null) checks.push({ name: reason ?? 'session', passed: false, detail: beyond });
  const facts = leaf ? leafFacts(leaf) : { leaf: null, problem: null };
  return {
    time: timestamp(timeMs),
    gateway,
    protocol,
    address: arrival.peer.address,
    device: arrival.entry?.device ?? null,
    fingerprint: arrival.peer.fingerprint,
    clientId: arrival.clientId,
    admitted: reason === null,
    reason,
    message: reason === null ? null : (beyond ?? outcome.fault?.message ?? null),
    count: 1,
    leaf: facts.leaf,
    leafProblem: facts.problem,
    checks,
  };
}

function failed({ timeMs, protocol, failure }: FailureEntry, gateway: string): Decision {
  const { what, todo } = wordsOfFailure(failure);
  const facts = failure.leaf ? leafFacts(failure.leaf) : { leaf: null, problem: null };
  const detail = failure.late ? what : `${what} (${failure.code})`;
  return {
    time: timestamp(timeMs),
    gateway,
    protocol,
    address: failure.address,
    device: null,
    fingerprint: failure.leaf && fingerprintOf(failure.leaf),
    clientId: null,
    admitted: false,
    reason: 'handshake-failed',
    message: `${what} ${todo}`,
    count: 1,
    leaf: facts.leaf,
    leafProblem: facts.problem,
    checks: [{ name: 'handshake', passed: false, detail }],
  };
}

const turnedAwayTodo: Record<string, string> = {
  'connection-limit':
    'Raise `limits.connections` or `limits.connectionsPerAddress` if these are devices of yours.',
  'connection-rate':
    'Let the devices wait longer, and not all equally long, before they connect again; raise `limits.connectRate` or `limits.connectRatePerAddress` if they are yours.',
};

function turnedAway(entry: TurnedAwayEntry, gateway: string): Decision {
  const { timeMs, protocol, reason, count, addresses } = entry;
  const [most, mostCount] = [...addresses].sort(([, a], [, b]) => b - a)[0]!;
  const many = addresses.size === 1 ? most : `${addresses.size} addresses, ${mostCount} of them from ${most}`;
  const detail = `${count} within a second from ${many}`;
  return {
    time: timestamp(timeMs),
    gateway,
    protocol,
    address: most,
    device: null,
    fingerprint: null,
    clientId: null,
    admitted: false,
    reason,
    message: `Ended before TLS: ${detail}. ${turnedAwayTodo[reason] ?? 'Try again later.'}`,
    count,
    leaf: null,
    leafProblem: null,
    checks: [{ name: 'limits before TLS', passed: false, detail }],
  };
}
