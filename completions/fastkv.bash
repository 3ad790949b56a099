_fastkv_completion() {
    local IFS=$'\n' words=() cword=-1 word joins=""
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ $COMP_WORDBREAKS == *:* && $cword -ge 0 && ( $word == :* || $joins ) ]]; then
            words[cword]+=$word
        else
            words[++cword]=$word
        fi
        [[ $word == *: ]] && joins=1 || joins=""
    done
    COMPREPLY=( $( env COMP_WORDS="${words[*]}" \
                   COMP_CWORD=$cword \
                   _FASTKV_COMPLETE=complete_bash $1 ) )
    word=${words[cword]}
    if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=( "${COMPREPLY[@]#"${word%"${word##*:}"}"}" )
    fi
    return 0
}

complete -o default -F _fastkv_completion fastkv
