;; Begins with sixteen million table elements, more than any limit grants.
(table $table 16777216 funcref)
