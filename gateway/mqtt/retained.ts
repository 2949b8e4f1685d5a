/**
 * Who left the retained messages: one is handed on only as long as its device may still leave it there. The broker keeps
 * the messages; what a revoked device has left would be heard by newcomers for ever otherwise (CVE-2018-12546).
 */

/** Whether a device may leave a retained message on a topic, as of now. */
export type MayRetain = (device: string, topic: string) => boolean;

export class Retained {
  readonly #mayRetain: MayRetain;
  /** One for each message that the broker retains. */
  readonly #devices = new Map<string, string>();

  constructor(mayRetain: MayRetain) {
    this.#mayRetain = mayRetain;
  }

  /** A device has left a message; an empty one takes back what was there [MQTT-3.3.1-6]. */
  left(topic: string, device: string, payload: Uint8Array): void {
    if (payload.length === 0) this.#devices.delete(topic);
    else this.#devices.set(topic, device);
  }

  mayDeliver(topic: string): boolean {
    const device = this.#devices.get(topic);
    return device !== undefined && this.#mayRetain(device, topic);
  }
}
