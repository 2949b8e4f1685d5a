/** What a session subscribes to: SUBSCRIBE and UNSUBSCRIBE judged by its rights and handed to the broker, and answered. */
import { Fault } from '#common/fault.ts';
import type { MqttSettings } from '../settings.ts';
import { suback, unsuback } from './answers.ts';
import type { Speaker } from './speaker.ts';
import { readSubscribe, readUnsubscribe } from './subscribe-packet.ts';

export class Subscriptions {
  readonly #parts: { readonly speaker: Speaker; readonly settings: MqttSettings };

  constructor(parts: { readonly speaker: Speaker; readonly settings: MqttSettings }) {
    this.#parts = parts;
  }

  /** Takes a SUBSCRIBE: what the device may hear is subscribed to, the rest refused, filter by filter. */
  subscribe(data: Buffer, start: number, end: number): void {
    const { speaker, settings } = this.#parts;
    const { packetId, subscriptionIdentifier, subscriptions } = readSubscribe(
      data,
      start,
      end,
      speaker.version,
      settings,
    );
    const refused = speaker.version === 5 ? 0x87 : 0x80;
    const codes: number[] = [];
    const granted = subscriptions.flatMap((asked) => {
      const most = speaker.rights.maySubscribe(asked.filter);
      const code = most === null ? refused : Math.min(asked.qos, most);
      codes.push(code);
      return code < 0x80 ? [{ ...asked, qos: code as 0 | 1 | 2 }] : [];
    });
    if (granted.length === 0) {
      speaker.write(suback(packetId, codes, speaker.version));
      return;
    }
    speaker.attachment((attachment) => {
      const all = new Set([...attachment.filters, ...granted.map(({ filter }) => filter)]);
      if (all.size > settings.maxSubscriptions) {
        const full = codes.map((code) => (code < 0x80 ? (speaker.version === 5 ? 0x97 : 0x80) : code));
        speaker.write(suback(packetId, full, speaker.version));
        return speaker.release();
      }
      speaker.hold();
      attachment.subscribe(granted, subscriptionIdentifier, (error) => {
        if (error) return void speaker.end(Fault.of(error), { silence: false });
        speaker.write(suback(packetId, codes, speaker.version));
        speaker.release();
      });
    });
  }

  /** Takes an UNSUBSCRIBE. */
  unsubscribe(data: Buffer, start: number, end: number): void {
    const { speaker, settings } = this.#parts;
    const { packetId, filters } = readUnsubscribe(data, start, end, speaker.version, settings);
    speaker.attachment((attachment) => {
      speaker.hold();
      attachment.unsubscribe(filters, (error, codes) => {
        if (error) return void speaker.end(Fault.of(error), { silence: false });
        speaker.write(unsuback(packetId, codes, speaker.version));
        speaker.release();
      });
    });
  }
}
