/** A WebSocket as a wire (RFC 6455; MQTT 5, section 6): bytes in binary frames on the TLS socket beneath. */
import type { TLSSocket } from 'node:tls';
import { Fault, type FaultKind } from '#common/fault.ts';
import { binaryFrame, closeFrame, pongFrame, WebSocketFrames } from './websocket-frames.ts';
import type { WireReader, WrappedWire } from './wire.ts';

/** Close codes (RFC 6455, section 7.4.1, and its registry); everything else is against our policy. */
const closeCodes: Partial<Record<FaultKind, number>> = {
  'shutting-down': 1001,
  'protocol-error': 1002,
  'malformed-packet': 1002,
  'unsupported-media-type': 1003,
  'packet-too-large': 1009,
  internal: 1011,
  unavailable: 1013,
};
const normalClosure = 1000;
const policyViolation = 1008;

export class WebSocketWire implements WrappedWire {
  readonly tls: TLSSocket;
  #frames: WebSocketFrames | null = null;
  #closing = false;

  constructor(tls: TLSSocket) {
    this.tls = tls;
  }

  get writableNeedDrain(): boolean {
    return this.tls.writableNeedDrain;
  }

  readTo(reader: WireReader): void {
    const frames = new WebSocketFrames({
      data: (bytes) => reader.heard(bytes),
      ping: (payload) => {
        // Only the last of several needs an answer (section 5.5.3), so one who does not read gets none.
        if (!this.#closing && !this.tls.writableNeedDrain) this.tls.write(pongFrame(payload));
      },
      closed: (code) => {
        this.#close(code);
        this.tls.destroySoon();
      },
    });
    this.#frames = frames;
    this.tls.on('data', (chunk: Buffer) => {
      try {
        frames.read(chunk);
      } catch (thrown) {
        frames.close();
        reader.misheard(Fault.of(thrown));
      }
    });
  }

  write(bytes: Buffer): boolean {
    return this.#closing ? false : this.tls.write(binaryFrame(bytes));
  }

  pause(): void {
    this.tls.pause();
  }

  resume(): void {
    this.tls.resume();
  }

  end(): void {
    this.#close(normalClosure);
    this.tls.end();
  }

  destroySoon(reason?: FaultKind): void {
    this.#close(reason ? (closeCodes[reason] ?? policyViolation) : normalClosure, reason);
    this.tls.destroySoon();
  }

  destroy(): void {
    this.tls.destroy();
  }

  on(event: 'end' | 'close', listener: () => void): void {
    this.tls.on(event, listener);
  }

  once(event: 'close' | 'drain', listener: () => void): void {
    this.tls.once(event, listener);
  }

  /** Our Close, once; the client's own may have come before. */
  #close(code: number, reason?: string): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#frames?.close();
    if (this.tls.writable) this.tls.write(closeFrame(code, reason));
  }
}
