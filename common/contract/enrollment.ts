/**
 * What a gateway asks of its registry for a device at its doors: a certificate, or that one of a foreign CA be known.
 * Everything is JSON, DER in base64, so that it is the same call in one process and over the process line.
 */
import type { DeviceId, Fingerprint } from '../identity.ts';
import type { CommandProgress, CommandReply, CommandsAnswer, CommandsAsk } from './command.ts';
import type { DirectoryEntry } from './directory.ts';
import type { Receipt } from './receipt.ts';
import type { Suspect } from './suspicion.ts';

/** A certificate that was issued, as every door answers it: PEM and RFC 3339. */
export interface IssuedCertificate {
  readonly deviceId: string;
  readonly fleet: string;
  readonly serialNumber: string;
  readonly fingerprint: Fingerprint;
  readonly notBefore: string;
  readonly notAfter: string;
  /** From when on it may be renewed: spread over the fleet, so that renewals come evenly. */
  readonly renewAfter: string;
  /** The leaf; the issuing CA; the anchors. */
  readonly certificate: string;
  readonly chain: string;
  readonly ca: string;
}

/** A certificate was seen at the door: of use to renewals and to the census of issuers. */
export interface Sighting {
  readonly fingerprint: Fingerprint;
  readonly atMs: number;
}

export const estOperations = [
  'cacerts',
  'simpleenroll',
  'simplereenroll',
  'csrattrs',
  'serverkeygen',
] as const;
export type EstOperation = (typeof estOperations)[number];

/** A request of EST (RFC 7030, section 3.2.2) with what the TLS handshake has proved. */
export interface EstAsk {
  readonly operation: EstOperation;
  /** The optional label of the path: a fleet. */
  readonly label: string | null;
  readonly authorization: string | null;
  /** What the client showed in TLS, leaf first; empty when it showed nothing. */
  readonly chain: readonly string[];
  readonly contentType: string | null;
  readonly body: string;
  /** The client's address, for limits and the audit. */
  readonly address: string;
}

export interface EstAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The answer ends at its nextUpdate; a newer one can be had from `freshUntilMs` on. */
export interface StapleAnswer {
  readonly response: string;
  readonly freshUntilMs: number;
  readonly endsAtMs: number;
}

/** The questions, each with its answer. A refusal is a Fault on both sides of the line. */
export interface LineAsks {
  /** A certificate of a foreign CA is to be known: answered with its entry once the registry has recorded it. */
  readonly introduce: {
    readonly ask: { readonly chain: readonly string[] };
    readonly answer: DirectoryEntry;
  };
  /** `csr` is DER; the leaf of `chain` is what the device has connected with. */
  readonly renew: {
    readonly ask: { readonly chain: readonly string[]; readonly csr: string };
    readonly answer: IssuedCertificate;
  };
  readonly est: { readonly ask: EstAsk; readonly answer: EstAnswer };
  /** An OCSP answer about a door certificate of the gateway that asks (DER in base64), to be stapled. */
  readonly staple: { readonly ask: { readonly certificate: string }; readonly answer: StapleAnswer };
  /** A device seems to be two. */
  readonly suspect: { readonly ask: Suspect; readonly answer: Receipt };
  readonly sighted: { readonly ask: { readonly sightings: readonly Sighting[] }; readonly answer: null };
  /** Commands that wait for a device. */
  readonly commands: { readonly ask: CommandsAsk; readonly answer: CommandsAnswer };
  /** For which of these devices commands wait. */
  readonly 'commands-waiting': {
    readonly ask: { readonly devices: readonly DeviceId[] };
    readonly answer: { readonly devices: readonly DeviceId[] };
  };
  readonly 'command-progress': {
    readonly ask: { readonly progress: readonly CommandProgress[] };
    readonly answer: null;
  };
  /** Answered when it is recorded. Faults `not-found`, `command-expired`, `conflict`, `too-large`. */
  readonly 'command-reply': { readonly ask: CommandReply; readonly answer: null };
}
export type LineAsk = keyof LineAsks;

/** Asks the registry. Faults as it answers, `unavailable` when it is away. */
export type AskRegistry = <K extends LineAsk>(
  kind: K,
  ask: LineAsks[K]['ask'],
) => Promise<LineAsks[K]['answer']>;
