/** A house in which one device has many sessions that publish and subscribe at will, and what they hear, in a test's words. */
import type { IConnectPacket, IPublishPacket, ISubscription } from 'mqtt-packet';
import type { DeviceIdentity } from './api-client.ts';
import { eventually } from './eventually.ts';
import { House } from './house.ts';
import { RawMqtt } from './raw-mqtt.ts';

/** A session that outlives its connection. */
export const kept = { clean: false, properties: { sessionExpiryInterval: 600 } };

export type Asked = Partial<ISubscription> & { topic: string };

export class DeliveryHouse implements AsyncDisposable {
  readonly house: House;
  readonly device: DeviceIdentity;
  readonly speaker: RawMqtt;
  #lastId = 0;

  private constructor(house: House, device: DeviceIdentity, speaker: RawMqtt) {
    this.house = house;
    this.device = device;
    this.speaker = speaker;
  }

  /** Everybody may publish and subscribe below `x/`. */
  static async start(config: string, workers = 1): Promise<DeliveryHouse> {
    const house = await House.start({ config, workers });
    const device = await house.api.enroll('plant', 'd');
    const rules = [
      { allow: 'publish', pattern: 'x/#', retain: true },
      { allow: 'subscribe', pattern: 'x/#' },
    ];
    const role = await house.api.call('PUT', '/v1/roles/wire', { severalSessions: true, rules });
    if (role.status !== 200) throw new Error(`PUT /v1/roles/wire: ${role.status}`);
    await house.api.call('PATCH', '/v1/devices/d', { role: 'wire' });
    const speaker = await RawMqtt.connected({ ...device, id: 'd:speaker' }, house.port('mqtts'));
    return new DeliveryHouse(house, device, speaker);
  }

  connect(name: string, options: Partial<IConnectPacket> = {}, version: 4 | 5 = 5): Promise<RawMqtt> {
    return RawMqtt.connected({ ...this.device, id: `d:${name}` }, this.house.port('mqtts'), version, options);
  }

  /** Resolves when the gateway has it: who subscribes has been sent it, as far as it takes it. */
  async publish(
    topic: string,
    payload: string | Buffer,
    { from = this.speaker, qos = 1, ...rest }: { from?: RawMqtt } & Partial<IPublishPacket> = {},
  ): Promise<void> {
    this.#lastId = (this.#lastId % 60_000) + 1;
    const messageId = this.#lastId;
    const plain = { dup: false, retain: false, messageId } as const;
    from.sendPacket({ cmd: 'publish', topic, payload, qos, ...plain, ...rest });
    if (qos === 0) return quiet(from);
    await from.next(qos === 1 ? 'puback' : 'pubrec');
    if (qos === 1) return;
    from.sendPacket({ cmd: 'pubrel', messageId });
    await from.next('pubcomp');
  }

  /** Value of a metric, with its labels. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.house.doors.ops}/metrics`)).text();
    const line = text.split('\n').find((one) => one.startsWith(`fleetgate_${name} `));
    return Number(line?.split(' ')[1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.speaker[Symbol.dispose]();
    await this.house[Symbol.asyncDispose]();
  }
}

/** QoS 2 unless it says otherwise; what was granted. */
export async function subscribe(
  raw: RawMqtt,
  subscriptions: (string | Asked)[],
  identifier?: number,
): Promise<number[]> {
  raw.sendPacket({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: subscriptions.map((one) => ({
      qos: 2,
      ...(typeof one === 'string' ? { topic: one } : one),
    })),
    ...(identifier !== undefined && { properties: { subscriptionIdentifier: identifier } }),
  });
  return (await raw.next('suback')).granted;
}

/** Everything that was on its way has arrived. */
export async function quiet(raw: RawMqtt): Promise<void> {
  raw.sendPacket({ cmd: 'pingreq' });
  await raw.next('pingresp');
}

/** The PUBLISHes that have come and were not looked at yet. */
export async function heard(raw: RawMqtt): Promise<IPublishPacket[]> {
  await quiet(raw);
  await quiet(raw);
  const publishes = raw.packets.filter(({ cmd }) => cmd === 'publish') as IPublishPacket[];
  raw.packets.splice(0, raw.packets.length, ...raw.packets.filter(({ cmd }) => cmd !== 'publish'));
  return publishes;
}

export const payloads = async (raw: RawMqtt): Promise<string[]> =>
  (await heard(raw)).map(({ payload }) => payload.toString());

/** Cuts the connection; a DISCONNECT would be said before. */
export async function leave(raw: RawMqtt): Promise<void> {
  raw[Symbol.dispose]();
  await eventually(() => {
    if (!raw.closed) throw new Error('still open');
  });
}
