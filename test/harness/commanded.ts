/** A device that takes commands over MQTT, by hand: it subscribes, sees what comes, acknowledges and answers when it is told to. */
import type { IConnectPacket, IPublishPacket } from 'mqtt-packet';
import { Agent, request } from 'undici';
import type { DeviceIdentity } from './api-client.ts';
import { RawMqtt } from './raw-mqtt.ts';

export interface Commanded extends Disposable {
  readonly raw: RawMqtt;
  /** The next command, not acknowledged. */
  next(): Promise<IPublishPacket & { id: string; name: string }>;
  acknowledge(packet: { messageId?: number }): void;
  /** Publishes a reply at QoS 1 by a packet id of its own. */
  reply(id: string, status: number, payload: string, messageId?: number): void;
}

export async function commanded(
  device: DeviceIdentity,
  port: number,
  version: 4 | 5 = 5,
  connect: Partial<IConnectPacket> = {},
  more: { topic: string; qos: 0 | 1 | 2 }[] = [],
): Promise<Commanded> {
  const raw = await RawMqtt.connected(device, port, version, connect);
  const own = `devices/${device.id}`;
  const subscriptions = [{ topic: `${own}/commands/#`, qos: 1 as const }, ...more];
  raw.sendPacket({ cmd: 'subscribe', messageId: 1, subscriptions });
  await raw.next('suback');
  return takes(device, raw);
}

/** The same of a session that is there, subscribed. */
export function takes(device: DeviceIdentity, raw: RawMqtt): Commanded {
  const own = `devices/${device.id}`;
  let ids = 100;
  return {
    raw,
    async next() {
      const packet: IPublishPacket = await raw.next('publish');
      const [, , , id = '', name = ''] = packet.topic.split('/');
      return { ...packet, id, name };
    },
    acknowledge: ({ messageId }) => raw.sendPacket({ cmd: 'puback', messageId: messageId! }),
    reply(id, status, payload, messageId = ++ids) {
      raw.sendPacket({
        cmd: 'publish',
        topic: `${own}/commands/${id}/reply/${status}`,
        payload,
        qos: 1,
        messageId,
        dup: false,
        retain: false,
      });
    },
    [Symbol.dispose]: () => raw[Symbol.dispose](),
  };
}

/** A device at the HTTPS door. */
export function httpsOf(device: DeviceIdentity, url: string) {
  const agent = new Agent({ connect: { ca: device.ca, cert: device.certificate, key: device.key } });
  const call = async (method: 'GET' | 'POST', path: string, body?: string, contentType = 'text/plain') => {
    const answer = await request(url + path, {
      method,
      dispatcher: agent,
      body,
      ...(body !== undefined && { headers: { 'content-type': contentType } }),
    });
    return { status: answer.statusCode, body: JSON.parse(await answer.body.text()) };
  };
  return { call, [Symbol.asyncDispose]: () => agent.destroy() };
}
