/** Which entries of the journal a question means. */
import type { DecisionQuery } from '#common/contract/decision.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import { neighbourhood } from '../door/connect-limits.ts';
import { hostOf } from '../door/read-peer.ts';
import type { JournalEntry } from './journal-entry.ts';
import { leafFacts } from './leaf-facts.ts';

/** What an entry is found by. */
interface Traits {
  readonly device: string | null;
  /** Whom one that is no known device claims to be. */
  readonly claims: string | null;
  readonly reason: string | null;
  readonly fingerprint: () => string | null;
  readonly serial: string | null;
  readonly leaf: Buffer | null;
  readonly isFrom: (address: string) => boolean;
}

export function matches(entry: JournalEntry, query: DecisionQuery): boolean {
  const traits = traitsOf(entry);
  return (
    (query.device === undefined || (traits.device ?? traits.claims) === query.device) &&
    (query.reason === undefined || traits.reason === query.reason) &&
    (query.address === undefined || traits.isFrom(query.address)) &&
    (query.fingerprint === undefined || traits.fingerprint() === query.fingerprint) &&
    (query.serial === undefined || hasSerial(traits, query.serial))
  );
}

function traitsOf(entry: JournalEntry): Traits {
  switch (entry.what) {
    case 'arrival': {
      const { arrival, reason, leaf } = entry;
      const { peer } = arrival;
      return {
        device: arrival.entry?.device ?? null,
        claims: arrival.clientId,
        reason,
        fingerprint: () => peer.fingerprint,
        serial: arrival.entry?.serialNumber ?? null,
        leaf,
        isFrom: (address) => isAt(peer.address, address),
      };
    }
    case 'failure': {
      const { address, leaf } = entry.failure;
      return {
        device: null,
        claims: null,
        reason: 'handshake-failed',
        fingerprint: () => leaf && fingerprintOf(leaf),
        serial: null,
        leaf,
        isFrom: (asked) => isAt(address, asked),
      };
    }
    case 'turned-away':
      return {
        device: null,
        claims: null,
        reason: entry.reason,
        fingerprint: () => null,
        serial: null,
        leaf: null,
        isFrom: (address) => entry.addresses.has(neighbourhood(hostOf(address))),
      };
  }
}

/** By address alone, or by address and port. */
const isAt = (address: string, asked: string): boolean =>
  address === asked || plain(hostOf(address)) === plain(hostOf(asked));

/** IPv4 in IPv6 is IPv4. */
const plain = (host: string): string =>
  host.startsWith('::ffff:') && host.includes('.') ? host.slice(7) : host;

/** The octets are looked for first: parsing thousands of certificates would hold up everybody. */
function hasSerial({ serial, leaf }: Traits, asked: string): boolean {
  if (serial !== null) return serial === asked;
  if (leaf === null || asked.length % 2 !== 0 || !leaf.includes(Buffer.from(asked, 'hex'))) return false;
  return leafFacts(leaf).leaf?.serialNumber === asked;
}
