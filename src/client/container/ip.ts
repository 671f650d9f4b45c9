/** Whether a text is an IP address. node:net knows, but loading it costs more than a whole `berth ps`. */

export function isAddress(text: string): boolean {
  return /^(\d{1,3}\.){3}\d{1,3}$/.test(text) ? text.split('.').every((part) => Number(part) <= 255) : isIpv6(text);
}

function isIpv6(text: string): boolean {
  return text.includes(':') && /^[0-9a-fA-F:.]+$/.test(text) && URL.canParse(`http://[${text}]/`);
}
