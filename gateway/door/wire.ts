/**
 * What a protocol speaks through: the TLS socket as it is, or what stands on it and passes its bytes in a wrapping of
 * their own. What the handshake has shown is asked of the TLS socket beneath in either case.
 */
import { TLSSocket } from 'node:tls';
import type { Fault, FaultKind } from '#common/fault.ts';
import { readInPlace } from './read-in-place.ts';

/** A TLS socket is one: nothing is made for a connection that speaks its protocol directly. */
export interface Wire {
  readonly writableNeedDrain: boolean;
  /** False when the other side is behind with reading: then 'drain' follows. */
  write(bytes: Buffer): boolean;
  pause(): void;
  resume(): void;
  end(): void;
  /** Ends when what was written is sent. The reason goes with it where the wrapping has a word for it. */
  destroySoon(reason?: FaultKind): void;
  destroy(): void;
  on(event: 'end' | 'close', listener: () => void): unknown;
  once(event: 'close' | 'drain', listener: () => void): unknown;
}

/** A wire with a wrapping of its own. */
export interface WrappedWire extends Wire {
  readonly tls: TLSSocket;
  readTo(reader: WireReader): void;
}

/** Who hears what comes. */
export interface WireReader {
  /** Good until it returns. */
  heard(bytes: Buffer): void;
  /** The wrapping itself was wrong: nothing can be heard any more. */
  misheard(fault: Fault): void;
}

export const tlsOf = (wire: Wire): TLSSocket =>
  wire instanceof TLSSocket ? wire : (wire as WrappedWire).tls;

/** To be called once, before any read. When the other side has said all it will, the wire is done. */
export function readWire(wire: Wire, reader: WireReader): void {
  if (wire instanceof TLSSocket) readInPlace(wire, (chunk) => reader.heard(chunk));
  else (wire as WrappedWire).readTo(reader);
  wire.on('end', () => wire.destroy());
}
