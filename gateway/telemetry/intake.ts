/** The mouth of the telemetry lane: doors hand events in, and hear when they are durable. */
import type { EventClass } from '#common/contract/event.ts';
import type { Protocol } from '#common/contract/receipt.ts';
import type { Fault } from '#common/fault.ts';

/** Who speaks: prepared once a session, so that an event costs no more than a copy. Opaque to the doors. */
export interface Origin {
  readonly fleet: string;
  readonly device: string;
  readonly protocol: Protocol;
}

/** Waits for events of its own to become durable. One object a connection; tickets tell its events apart. */
export interface Waiter {
  /** The event is durable: acknowledge it. Called in the order of acceptance, many in one turn. */
  durable(ticket: number): void;
  /** The event could not be made durable: do not acknowledge it. */
  failed(ticket: number, fault: Fault): void;
  /** All tickets of this turn have been called: flush what they wrote. May be called more than once a turn. */
  settled(): void;
}

export interface Intake {
  origin(fleet: string, device: string, protocol: Protocol): Origin;
  /**
   * Copies the event into the open batch; `payload` may be a view of a buffer that is used again. With a waiter, its
   * `durable(ticket)` follows when the batch is committed; without (QoS 0) nobody is told.
   * Call it only while `full` is false.
   */
  accept(
    origin: Origin,
    eventClass: EventClass,
    channel: string,
    contentType: string,
    payload: Uint8Array,
    waiter: Waiter | null,
    ticket: number,
  ): void;
  /** No room: too many batches on their way to the disk, or too many bytes waiting for backends. */
  readonly full: boolean;
  /** Calls back once, when there is room again. */
  whenRoom(resume: () => void): void;
  /** Counts an event that was dropped because there was no room (telemetry of QoS 0 only). */
  dropped(): void;
}
