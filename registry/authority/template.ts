/** Templates of certificate contents: text with `${device.id}`, `${device.fleet}`, `${device.attributes.x}` in it. Pure. */
import { Fault } from '#common/fault.ts';

/** What the variables stand for. */
export interface TemplateDevice {
  readonly id: string;
  readonly fleet: string;
  readonly attributes: Readonly<Record<string, string>>;
}

const variable = /\$\{([^}]*)\}/g;
const attributePrefix = 'device.attributes.';
const attributeName = /^[A-Za-z0-9_-]{1,64}$/;

/** Faults `malformed` for a variable that there is not, or one that is not closed. */
export function judgeTemplate(text: string): void {
  for (const [, name = ''] of text.matchAll(variable)) {
    const attribute = name.startsWith(attributePrefix) ? name.slice(attributePrefix.length) : undefined;
    if (name === 'device.id' || name === 'device.fleet') continue;
    if (attribute === undefined || !attributeName.test(attribute))
      throw new Fault('malformed', `There is no variable \${${name}}.`);
  }
  if (text.replace(variable, '').includes('${'))
    throw new Fault('malformed', `A variable is not closed in "${text}".`);
}

/** Whether it says the same for every device. */
export const isConstant = (text: string): boolean => !text.includes('${');

/** The text with its variables filled in, or the name of the first one that the device does not have. */
export function fill(
  text: string,
  device: TemplateDevice,
): { readonly text: string } | { readonly missing: string } {
  let missing: string | undefined;
  const filled = text.replace(variable, (_all, name: string) => {
    const value = variableOf(name, device);
    if (value === undefined || value === '') missing ??= name;
    return value ?? '';
  });
  return missing === undefined ? { text: filled } : { missing };
}

function variableOf(name: string, device: TemplateDevice): string | undefined {
  if (name === 'device.id') return device.id;
  if (name === 'device.fleet') return device.fleet;
  const attribute = name.startsWith(attributePrefix) ? name.slice(attributePrefix.length) : '';
  return Object.hasOwn(device.attributes, attribute) ? device.attributes[attribute] : undefined;
}
