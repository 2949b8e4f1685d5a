/** What a simulation is to do, complete and as plain data: it crosses to the worker threads as it is. */

export const simulatedProtocols = ['mqtt', 'mqtt5', 'https', 'mixed'] as const;
export type SimulatedProtocol = (typeof simulatedProtocols)[number];

export interface SimulationPlan {
  /** Distinguishes the messages of this run from all others. */
  readonly run: string;
  readonly devices: number;
  /** Connects a second, at fixed times whatever becomes of them. */
  readonly connectRate: number;
  /** Messages a second over the whole fleet. */
  readonly rate: number;
  /** How long messages are sent after the last device was to connect, milliseconds. */
  readonly durationMs: number;
  readonly payloadBytes: number;
  readonly qos: 0 | 1 | 2;
  readonly protocol: SimulatedProtocol;
  /** `TLSv1.2` or `TLSv1.3`. */
  readonly tlsVersion: string | null;
  readonly seed: number;
  readonly host: string;
  readonly mqttsPort: number;
  readonly httpsPort: number;
}

/** What a device of the simulation holds, in PEM. */
export interface Identity {
  readonly id: string;
  readonly key: string;
  readonly certificate: string;
  readonly ca: string;
}

/** The protocol of the device with this number. */
export const protocolOf = (plan: SimulationPlan, index: number): 'mqtt' | 'mqtt5' | 'https' =>
  plan.protocol === 'mixed' ? (['mqtt', 'mqtt5', 'https'] as const)[index % 3]! : plan.protocol;

/** When device `index` is to connect, milliseconds after the start: an open arrival rate. */
export const connectAtMs = (plan: SimulationPlan, index: number): number => (index * 1000) / plan.connectRate;

/** When message `index` of the fleet is to be sent: absolute, so that a late one delays no other. */
export const messageAtMs = (plan: SimulationPlan, index: number): number => (index * 1000) / plan.rate;

/** How many messages the fleet is to send. */
export const messageCount = (plan: SimulationPlan): number => Math.floor((plan.rate * endMs(plan)) / 1000);

/** When the last message is due. */
export const endMs = (plan: SimulationPlan): number => connectAtMs(plan, plan.devices) + plan.durationMs;

/** The payload of a message: JSON that names run, device and number, filled up to the size asked for. */
export function payloadOf(plan: SimulationPlan, device: string, n: number): string {
  const bare = `{"run":"${plan.run}","device":"${device}","n":${n},"pad":""}`;
  const missing = plan.payloadBytes - bare.length;
  return missing <= 0 ? bare : `${bare.slice(0, -2)}${'x'.repeat(missing)}"}`;
}

/** Small seeded generator (mulberry32): the same seed gives the same jitter. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
