/** Who takes commands for a device at this gateway: an MQTT session that has subscribed to them, or a request that polls. */
import type { CommandOffer } from '#common/contract/command.ts';

export interface Taker {
  /** How many more it takes now. */
  readonly room: number;
  /** Hands one over; there is room. It stays with the taker until `Place.delivered`, or until the taker leaves. */
  give(command: CommandOffer): void;
  /** Nothing waits for the device at the moment. May be called again and again. */
  nothing(): void;
}

/** A taker's place at the mailbox of its device. */
export interface Place {
  /** The device has the command. */
  delivered(id: string): void;
  /** It cannot be handed to this taker: it stays in the registry, and does not stand in the way of the others. */
  passOver(id: string): void;
  /** There may be room again. */
  eased(): void;
  /** What it holds goes back. Calling it twice is harmless. */
  leave(): void;
}
