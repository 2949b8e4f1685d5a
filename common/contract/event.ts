/**
 * What a device said, on its way to the backends. Its origin is the session's, never the payload's.
 * The CloudEvents form of it is gateway/telemetry/cloud-event.ts.
 */

export const eventClasses = ['telemetry', 'event'] as const;
/** Telemetry of QoS 0 may be dropped when the spool is full; events never are. */
export type EventClass = (typeof eventClasses)[number];

export interface DeviceEvent {
  /** Unique, and the same on every redelivery: `<spool epoch>-<sequence>`. */
  readonly id: string;
  /** Grows by one an accepted event of this gateway. */
  readonly sequence: number;
  readonly fleet: string;
  readonly device: string;
  readonly class: EventClass;
  /** Topic levels after `telemetry/` or `events/`; empty for none. */
  readonly channel: string;
  /** Acceptance, milliseconds since 1970. */
  readonly timeMs: number;
  /** As the device declared it (MQTT 5 Content Type, HTTP Content-Type); empty when it did not. */
  readonly contentType: string;
  readonly payload: Buffer;
}
