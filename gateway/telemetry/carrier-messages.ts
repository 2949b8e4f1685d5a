/** What the main thread and the carrier thread say to each other: batches down, commits and numbers up. */
import type { BackendSettings, RouteSettings, SpoolSettings } from '../settings.ts';

export interface CarrierSetup {
  readonly dataDir: string;
  /** Tells the spools of one folder, and what comes of them, apart: empty for the first. */
  readonly label: string;
  readonly spool: SpoolSettings;
  readonly backends: Readonly<Record<string, BackendSettings>>;
  readonly routes: RouteSettings;
  /** For tests of a full disk: most pages of the spool's file. */
  readonly spoolPages?: number;
}

export type ToCarrier =
  /** The first `length` bytes of the buffer are records; the buffer is transferred. */
  | {
      readonly batch: number;
      readonly buffer: ArrayBuffer;
      readonly length: number;
      readonly count: number;
      readonly timeMs: number;
    }
  | { readonly ask: 'snapshot'; readonly id: number }
  /** Deliver what can be delivered until then, and end. */
  | { readonly close: { readonly patienceMs: number } };

export type FromCarrier =
  | { readonly ready: true }
  | { readonly refused: string }
  /** Batches of which every event is on disk, in order. */
  | { readonly committed: readonly number[]; readonly spoolBytes: number }
  | { readonly failed: readonly number[]; readonly reason: string; readonly spoolBytes: number }
  | { readonly spoolBytes: number }
  | { readonly snapshot: number; readonly backends: readonly BackendNumbers[] }
  | { readonly closed: true };

/** The ledger of one backend: `routed = delivered + pending + dead`. */
export interface BackendNumbers {
  readonly name: string;
  readonly routed: number;
  readonly delivered: number;
  readonly dead: number;
  readonly pending: number;
  readonly up: boolean;
  /** When the oldest pending event was accepted, milliseconds since 1970; null when none is pending. */
  readonly oldestMs: number | null;
}
