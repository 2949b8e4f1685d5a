/** Something that is fed noise: a property that must hold for whatever fast-check makes up. The suite runs each briefly,
 * `npm run fuzz` for as long as one likes. */
import fc from 'fast-check';

export interface FuzzTarget {
  readonly name: string;
  /** What must hold. */
  readonly promise: string;
  /** Throws, by expect, when it does not hold. */
  readonly property: () => fc.IProperty<unknown[]> | fc.IAsyncProperty<unknown[]>;
}

/** A target of one property, as fast-check types it away. */
export const target = <Inputs extends [unknown, ...unknown[]]>(
  name: string,
  promise: string,
  arbitraries: { [At in keyof Inputs]: fc.Arbitrary<Inputs[At]> },
  holds: (...inputs: Inputs) => void,
): FuzzTarget => ({
  name,
  promise,
  property: () => fc.property(...arbitraries, holds) as fc.IProperty<unknown[]>,
});
