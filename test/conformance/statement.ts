/** A normative statement of MQTT 3.1.1 or 5 with the test that shows it, as data. */
import type { Scene } from './scene.ts';

export type Version = 4 | 5;

export interface Case {
  /** As in Appendix B of its specification, without brackets: `MQTT-3.1.2-24`. */
  readonly clause: string;
  readonly version: Version;
  /** What the statement asks of a server, in a few own words. */
  readonly promise: string;
  run(scene: Scene): Promise<void>;
}

/** A statement without a test: what it says, and why nothing of it can be seen at a server. */
export interface Untested {
  readonly clause: string;
  readonly version: Version;
  readonly says: string;
  readonly why: string;
}

type Run = Case['run'];

export const v4 = (clause: string, promise: string, run: Run): Case => ({
  clause: `MQTT-${clause}`,
  version: 4,
  promise,
  run,
});
export const v5 = (clause: string, promise: string, run: Run): Case => ({
  clause: `MQTT-${clause}`,
  version: 5,
  promise,
  run,
});
/** The same statement in both versions, by the number it has in each. */
export const both = (in4: string, in5: string, promise: string, run: Run): Case[] => [
  v4(in4, promise, run),
  v5(in5, promise, run),
];
/** Several statements of one version that one story shows. */
export const each = (of: typeof v4, statements: Readonly<Record<string, string>>, run: Run): Case[] =>
  Object.entries(statements).map(([clause, promise]) => of(clause, promise, run));

export const keyOf = ({ clause, version }: { clause: string; version: Version }): string =>
  `${clause} (${version === 4 ? '3.1.1' : '5'})`;

/** The statement asks nothing of this server: it does not do what the statement is about. */
export class NotApplicable extends Error {}
