/**
 * The words that configuration schemas are written in: JSON Schema by typebox, plus durations and sizes, which people
 * write as `90s` and `64KiB` and the program reads as milliseconds and bytes (load.ts converts them).
 */
import Type, { type TUnsafe } from 'typebox';
import { durationPattern, sizePattern } from '../quantity.ts';

/** Written `90s`, read as milliseconds. */
export const Duration = (byDefault: string, description: string): TUnsafe<number> =>
  Type.Unsafe<number>({
    type: 'string',
    format: 'duration',
    pattern: durationPattern,
    default: byDefault,
    description,
  });

/** Written `64KiB`, read as bytes. */
export const Size = (byDefault: string, description: string): TUnsafe<number> =>
  Type.Unsafe<number>({
    type: 'string',
    format: 'size',
    pattern: sizePattern,
    default: byDefault,
    description,
  });

export const Count = (byDefault: number, description: string, minimum = 1) =>
  Type.Integer({ default: byDefault, minimum, description });

export const Port = (byDefault: number, description: string) =>
  Type.Integer({
    default: byDefault,
    minimum: 0,
    maximum: 65535,
    description: `${description} 0 takes a free one.`,
  });

export const Flag = (byDefault: boolean, description: string) =>
  Type.Boolean({ default: byDefault, description });

export const Text = (byDefault: string, description: string) =>
  Type.String({ default: byDefault, description });

/** A section: unknown keys are errors, and a missing section takes all its defaults. */
export const Section = <Properties extends Record<string, import('typebox').TSchema>>(
  properties: Properties,
  description: string,
) => Type.Object(properties, { additionalProperties: false, default: {}, description });
