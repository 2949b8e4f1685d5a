/** The connection, as those see it who answer for it. */
import type { Fault } from '#common/fault.ts';
import type { Rights } from '../sessions/rights.ts';
import type { Attachment } from './attachment.ts';
import type { Outbound } from './outbound.ts';

export interface Speaker {
  readonly version: 4 | 5;
  readonly clientId: string;
  readonly device: string;
  readonly rights: Rights;
  readonly wantsReasons: boolean;
  /** Session expiry of its CONNECT, seconds. */
  readonly sessionExpirySeconds: number;
  /** Longest packet that the client takes; endless when it did not say. */
  readonly maximumPacketSize: number;
  /** Most QoS 1 and 2 publishes that the client takes unacknowledged. */
  readonly outboundMaximum: number;
  /** What the session has subscribed to, with the broker or without. */
  readonly filters: readonly string[];
  /** DER of the certificate that the handshake has proved. */
  readonly certificate: Buffer | null;
  /** CONNACK has been sent. */
  readonly greeted: boolean;
  write(bytes: Buffer): void;
  /** Nothing is read until `release`. */
  hold(): void;
  release(): void;
  /** The broker's side of the session, made when it is first needed. */
  attachment(use: (attachment: Attachment) => void): void;
  /** What leaves towards the client, made when it is first needed; it needs no broker. */
  readonly outbound: Outbound;
  /** The broker's side if there is one. */
  readonly attached: Attachment | null;
  /** The client says goodbye. */
  leave(words: { withWill: boolean; sessionExpirySeconds: number | undefined }): void;
  /** On its error topic, if it listens there; what the refusal is about in the fields `correlation` and `topic`. */
  tell(fault: Fault): void;
  end(fault: Fault, options: { silence: boolean }): Promise<void>;
}
