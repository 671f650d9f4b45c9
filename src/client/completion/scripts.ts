/** What a shell needs to ask us. Each hands over the words up to the cursor and offers what comes back. */

const BASH = String.raw`# bash completion for berth: source <(berth completion bash)
__berth_complete() {
  local line value files= words=("${'$'}{COMP_WORDS[@]:1:COMP_CWORD}")
  local current="${'$'}{COMP_WORDS[COMP_CWORD]}"
  # bash takes a colon or an equals sign for a word of its own: put such words together again.
  if declare -F _get_comp_words_by_ref >/dev/null; then
    local cword
    _get_comp_words_by_ref -n =: -c current -w words -i cword 2>/dev/null
    words=("${'$'}{words[@]:1:cword}")
  fi
  COMPREPLY=()
  while IFS= read -r line; do
    value="${'$'}{line%%$'\t'*}"
    if [[ $value == ":files" ]]; then files=1; else COMPREPLY+=("$value"); fi
  done < <(berth __complete "${'$'}{words[@]}" 2>/dev/null)
  if [[ ${'$'}{#COMPREPLY[@]} -eq 1 && ${'$'}{COMPREPLY[0]} == *[:=] ]]; then compopt -o nospace 2>/dev/null; fi
  if [[ -n $files ]]; then compopt -o default 2>/dev/null; fi
  if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$current"; fi
}
complete -F __berth_complete berth
`;

const ZSH = String.raw`#compdef berth
# zsh completion for berth: berth completion zsh > "${'$'}{fpath[1]}/_berth"
_berth() {
  local line value files= found=()
  while IFS= read -r line; do
    value="${'$'}{line%%$'\t'*}"
    if [[ $value == ":files" ]]; then
      files=1
    else
      found+=("${'$'}{value//:/\\:}:${'$'}{line#*$'\t'}")
    fi
  done < <(berth __complete "${'$'}{(@)words[2,CURRENT]}" 2>/dev/null)
  (( ${'$'}{#found} )) && _describe -V berth found
  [[ -n $files ]] && _files
}
if [[ $funcstack[1] == _berth ]]; then _berth "$@"; else compdef _berth berth; fi
`;

const FISH = String.raw`# fish completion for berth: berth completion fish > ~/.config/fish/completions/berth.fish
function __berth_complete
    set -l words (commandline -opc)[2..-1] (commandline -ct)
    for line in (berth __complete $words 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c berth -f -a '(__berth_complete)'
`;

export const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
